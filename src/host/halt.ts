/**
 * Stops the evaluation of whatever imports it. Modules are loaded and linked all together before the first is
 * evaluated, and evaluated one after the other until one throws: so what is imported after this file is
 * there, and no line of it has run.
 */
import { HALTED } from "./halted.ts";

throw HALTED;
