/** What `halt.ts` throws. */
export const HALTED: Error = new Error("The driver is loaded, and not yet run");
