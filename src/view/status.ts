/** What the live view shows of one running driver. */

/** Packets and bytes per second of one direction. */
export interface Rate {
  packets: number;
  bytes: number;
}

/** The state of a driver and its device at one moment. */
export interface Status {
  /** The manifest's name. */
  name: string;
  /** PCI address. */
  address: string;
  /** Where the driver is in its life. */
  state: "starting" | "running" | "restarting" | "waiting" | "stopped" | "failed";
  /** Speed in Mb/s, meaningful while up. */
  link: { up: boolean; speed: number };
  /** Name of the network interface, or null before there is one. */
  interface: string | null;
  /** Its addresses, with prefix lengths. */
  addresses: string[];
  rx: Rate;
  tx: Rate;
  interruptsPerSecond: number;
  /** Packets of both directions for each time the driver slept and was woken; 0 while it is idle. */
  packetsPerWakeup: number;
  /** Drivers started after the first. */
  restarts: number;
  /** Seconds since the first start. */
  uptime: number;
  /** Where the dashboard is. */
  dashboard?: string;
  /** The grant in words, a line each. */
  grant: string[];
  /** What the user should know, a line each. */
  warnings: string[];
}
