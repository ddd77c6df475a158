/** Loads the driver and runs none of it: importing this file throws `HALTED`, or why it cannot be loaded. */
import "./halt.ts";
import "ring3-driver";
