/**
 * What applications do while faults are injected into the driver below them, in a lab, and what they see of it.
 *
 * ```ts
 * await buildFaults(); // before the lab is booted
 * await using workload = await startWorkload(lab, "tcp"); // once the driver runs and the wire is laid
 * for await (const word of workload.words) console.log(word);
 * ```
 * @module
 */
import type { Lab } from "../../lab/mod.ts";
import type { Campaign } from "../schema.ts";
import { startFio, startSqlite } from "./disk.ts";
import { startHttp, startTcp, startUdp } from "./network.ts";
import type { Workload } from "./workload.ts";

export { type DiskOptions, type FioOptions, startFio, startSqlite } from "./disk.ts";
export {
  type HttpOptions,
  startHttp,
  startTcp,
  startUdp,
  type TcpOptions,
  type UdpOptions,
  type WireOptions,
} from "./network.ts";
export { together, type Word, wordSchema, type Workload } from "./workload.ts";

const STARTS: Record<Campaign["workload"], (lab: Lab) => Promise<Workload>> = {
  udp: startUdp,
  tcp: startTcp,
  http: startHttp,
  fio: startFio,
  sqlite: startSqlite,
};

/** Starts the workload of a campaign, as it is without options. @throws {UserError} if nothing is done in time. */
export async function startWorkload(lab: Lab, name: Campaign["workload"]): Promise<Workload> {
  return await STARTS[name](lab);
}
