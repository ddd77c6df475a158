/** Loads the driver and its program and runs none of them: importing this file throws `HALTED`, or why it cannot be loaded. */
import "./halt.ts";
import "ring3-driver";
import "ring3-program";
