/** Done twice. */
import { descriptorShape, wrappedModel } from "./model.ts";

export const dmaTwice = wrappedModel({
  name: "dma.twice",
  about: "What the device wrote into a descriptor is found in the next one as well.",
  needs: ["dma"],
  times: 1,
  shape: descriptorShape,
});
