/** Done before it is done. */
import { descriptorShape, wrappedModel } from "./model.ts";

export const dmaEarly = wrappedModel({
  name: "dma.early",
  about:
    "A descriptor says that the device is done with it before the device is. What says so is learnt from " +
    "what the device did to the one before.",
  needs: ["dma"],
  times: 1,
  shape: descriptorShape,
});
