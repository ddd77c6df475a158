/** `ring3 report`: what is left of drivers that have died, on this machine and in its labs. */
import { USAGE, UserError } from "../error.ts";
import { execInRunningLabs } from "../lab/running.ts";
import { inLab } from "../run/files.ts";
import { reportDirectory } from "../run/state.ts";
import { FleetError } from "../supervisor/contract.ts";
import { isReportId, ReportStore } from "../supervisor/reports.ts";
import { type Report, reportSchema, type ReportSummary, reportSummarySchema } from "../supervisor/schema.ts";
import { formatReport, formatReportList } from "../view/report.ts";
import { type Command, defineCommand, flag, text } from "./args.ts";

/** Reports of one machine; the shape of `--list --json`, with `labs` on the machine that runs them. */
interface MachineReports {
  reports: ReportSummary[];
  labs?: MachineReports[];
}

/** Reads of this machine's store what `read` does, or undefined where it may not. */
async function ifPermitted<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    console.error("ring3: The reports of this machine are shown to root only");
    return undefined;
  }
}

/** What `ring3 report` prints with these arguments in every lab that has something to print. */
async function inLabs(args: readonly string[]): Promise<unknown[]> {
  if (inLab()) return [];
  const printed = await execInRunningLabs(["ring3", "report", ...args, "--json"]);
  return [...printed.values()].map((json) => JSON.parse(json));
}

async function listAll(store: ReportStore, driver: string | undefined): Promise<MachineReports> {
  const reports = await ifPermitted(() => store.list({ driver })) ?? [];
  if (inLab()) return { reports };
  const labs = await inLabs(["--list", ...(driver === undefined ? [] : [driver])]);
  return {
    reports,
    labs: labs.map((lab) => ({
      reports: reportSummarySchema.array().parse((lab as MachineReports).reports),
    })),
  };
}

/** The report of an id, or a driver's latest, wherever it is. */
async function find(store: ReportStore, wanted: string): Promise<Report | undefined> {
  const here = await ifPermitted(async () => {
    const [latest] = isReportId(wanted) ? [{ id: wanted }] : await store.list({ driver: wanted });
    return latest && await store.read(latest.id);
  }).catch((error) => {
    if (!(error instanceof FleetError)) throw error;
    if (error.kind === "not-found") return undefined;
    throw new UserError(`${error.message}: delete it`, { cause: error });
  });
  if (here && isReportId(wanted)) return here;
  const labs = (await inLabs([wanted])).map((report) => reportSchema.parse(report));
  return [...(here ? [here] : []), ...labs].sort((a, b) => a.time < b.time ? 1 : -1)[0];
}

/** The command. */
export const reportCommand: Command = defineCommand({
  name: "ring3 report",
  summary: "Show what is left of drivers that have died, here and in labs",
  positionals: [{
    name: "[ID|DRIVER]",
    description: "a report, or the driver whose latest is shown; without: the list",
  }],
  options: {
    list: flag("list the reports, of that driver if one is named"),
    json: flag("print JSON, with all register accesses"),
    state: text("directory of the supervisor's state", { value: "DIRECTORY" }),
  },
  examples: [
    { line: "ring3 report", does: "lists the reports, latest first" },
    { line: "ring3 report e1000", does: "shows the latest of the driver e1000" },
  ],
  async main({ options, positionals: [wanted] }) {
    if (wanted !== undefined && !/^[A-Za-z0-9][\w.-]*$/.test(wanted)) {
      throw new UserError(`report takes a report's id or a driver's name, not "${wanted}"`, { code: USAGE });
    }
    const store = new ReportStore(reportDirectory(options.state));
    if (wanted !== undefined && !options.list) {
      const report = await find(store, wanted);
      if (!report) {
        const what = isReportId(wanted) ? `There is no report ${wanted}` : `There is no report of ${wanted}`;
        throw new UserError(`${what}; see: ring3 report --list`);
      }
      console.log(options.json ? JSON.stringify(report) : formatReport(report));
      return 0;
    }
    const machine = await listAll(store, wanted);
    if (options.json) {
      console.log(JSON.stringify(machine));
      return 0;
    }
    const labs = (machine.labs ?? []).filter(({ reports }) => reports.length > 0);
    if (machine.reports.length > 0) console.log(formatReportList(machine.reports));
    for (const { reports } of labs) console.log(`In a lab:\n${formatReportList(reports)}`);
    if (machine.reports.length === 0 && labs.length === 0) {
      console.log(`There are no reports${wanted === undefined ? "" : ` of ${wanted}`}.`);
    }
    return 0;
  },
});
