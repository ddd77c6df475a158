/** Where ring3 keeps what is of use only as long as the machine runs. */

/** Root's to write and everybody's to read. */
export const RUNTIME_DIRECTORY = "/run/ring3";
