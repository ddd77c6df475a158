/** Stands for `ring3-program` where a manifest names no program. */
import type { Program } from "../net/raw.ts";

export default undefined as Program | undefined;
