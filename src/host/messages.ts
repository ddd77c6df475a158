/**
 * What supervisor and driver process say to each other. The supervisor speaks over the control socket, the
 * process by lines of JSON on its standard output. The process is not trusted: the supervisor takes only
 * lines that `src/supervisor/host_message.ts` lets through.
 */

/**
 * Comes before `StartMessage` if register accesses are to be recorded; with it comes the memory to record them
 * in, `RECORD_LENGTH` bytes.
 */
export interface RecordMessage {
  type: "record";
}

/** The message that the grant comes with. */
export interface StartMessage {
  type: "start";
  /** `options` of the manifest. */
  options: Record<string, unknown>;
  /** DMA memory to map, bytes. */
  dma: number;
  /** Entries of each ring of a raw port, if that is what the manifest has. */
  rawRing?: number;
}

/** Totals of a raw port since its process got the device. */
export interface Traffic {
  link: { up: boolean; /** Mb/s. */ speed: number };
  counters: Record<
    "rxPackets" | "rxBytes" | "rxDropped" | "txPackets" | "txBytes" | "txDropped",
    number
  >;
}

/** What a process with a raw port tells of it, as no kernel counts its frames. */
export interface TrafficMessage extends Traffic {
  type: "traffic";
}

/**
 * What the supervisor says to a process that has its grant. `leave`: end between two batches. `fault`: end in
 * that way, as a defect would.
 */
export type ControlMessage =
  | { type: "leave" }
  | { type: "fault"; how: "stall" | "exception" | "exit" | "out-of-memory" };

/**
 * All that a driver process says. `waiting`: the driver's modules have run, and it waits for a grant. `ready`: attached and carrying traffic. `traffic`: of a raw port, at most
 * once a second but for changes of the link. `failed`: its last words, before it exits with `EXIT_FAILED`.
 */
export type HostMessage =
  | { type: "waiting" }
  | { type: "ready" }
  | { type: "log"; text: string }
  | TrafficMessage
  | { type: "failed"; error: string; message: string; stack: string };

/** Exit status of a process that has said why it failed. */
export const EXIT_FAILED = 70;

/** Most characters of any text that a driver process says. */
export const MAX_TEXT = 16 * 1024;
