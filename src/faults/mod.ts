/**
 * Faults for drivers, on purpose: `faulty` writes a version of a driver that has one.
 *
 * @module
 */
export { type Choice, choose } from "./choose.ts";
export { faulty, type FaultyFolder, modelsFor, mutationSites } from "./folder.ts";
export { MODELS } from "./models/mod.ts";
export type { Model, Need, SourceModel, WrappedModel } from "./models/model.ts";
export {
  type Campaign,
  campaignSchema,
  CONDITIONS,
  type DriverFault,
  driverFaultSchema,
  type Fault,
  faultSchema,
  parseCampaign,
  parseFault,
  WORKLOADS,
} from "./schema.ts";
export { drawWhen, type Times, type When, whenText } from "./when.ts";
