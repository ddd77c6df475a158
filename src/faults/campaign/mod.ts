/** Campaigns: faults by the thousand into drivers under load, what becomes of each, and what they come to. */
export {
  hold,
  isManifested,
  isRecovered,
  judge,
  type Judgement,
  type Outcome,
  OUTCOMES,
  type Seen,
  type Usual,
} from "./outcome.ts";
export { type FaultRecord, parseRecords, readRecords } from "./record.ts";
export { type FaultReport, formatReport, plotReport, replayOf, reportOf } from "./report.ts";
export { type CampaignEnd, type CampaignOptions, runCampaign } from "./run.ts";
