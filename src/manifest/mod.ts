/** Manifests: reading them from files, finding the one for a device, and what a grant means in words. */
export { formatProblem, ManifestError, type Problem } from "./problem.ts";
export { findManifests, loadManifest, type Manifest, type PortManifest, type RestartPolicy } from "./load.ts";
export { matchManifest, resolve } from "./resolve.ts";
export { describeGrant } from "./describe.ts";
export { type Demand, type InterruptType, LIMITS, type Wall, WALLS } from "./schema.ts";
