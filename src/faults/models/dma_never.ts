/** Never done. */
import { memoryShape, wrappedModel } from "./model.ts";

export const dmaNever = wrappedModel({
  name: "dma.never",
  about: "The driver never sees that the device is done with a descriptor.",
  needs: ["dma"],
  times: 1,
  shape: memoryShape,
});
