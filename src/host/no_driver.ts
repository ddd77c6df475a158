/** Stands for `ring3-driver` where no import map says which driver it is. */
import type { NetDriver } from "../net/contract.ts";

throw new Error("The host was started without a driver: the supervisor's import map names it");

export default undefined as unknown as NetDriver<unknown>;
