/** `ring3 service`: the systemd unit for this machine. */
import { ownPlaces } from "../run/places.ts";
import { serviceUnit } from "../run/unit.ts";
import { parseListen } from "../supervisor/listen.ts";
import { type Command, defineCommand, text } from "./args.ts";

/** The command. */
export const serviceCommand: Command = defineCommand({
  name: "ring3 service",
  summary: "Print a systemd unit that supervises every driver with a spare device",
  options: {
    listen: text("where the dashboard is; without it, the first free port from 7333 on", {
      value: "HOST:PORT|none",
    }),
  },
  examples: [{
    line: "ring3 service | sudo tee /etc/systemd/system/ring3.service",
    does: "install it; then: systemctl daemon-reload && systemctl enable --now ring3",
  }],
  main({ options }) {
    console.log(serviceUnit({ ...ownPlaces(), listen: parseListen(options.listen) }).trimEnd());
    return Promise.resolve(0);
  },
});
