/** What all pages have around them. */
import { html } from "hono/html";
import type { Child } from "hono/jsx";

/** A whole page; `script` adds the one of the dashboard. */
export function Layout(
  { title, script = false, header, children }: {
    title: string;
    script?: boolean;
    header?: Child;
    children: Child;
  },
) {
  return html`<!DOCTYPE html>${(
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>{title}</title>
        <link rel="icon" href="/assets/icon.svg" type="image/svg+xml" />
        <link rel="stylesheet" href="/assets/style.css" />
        {script && <script type="module" src="/assets/dashboard.js"></script>}
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header class="top">
          <a class="brand" href="/">
            <img src="/assets/icon.svg" alt="" width="24" height="24" />
            <span>ring3</span>
          </a>
          {header}
        </header>
        <main id="main" tabindex={-1}>{children}</main>
      </body>
    </html>
  )}`;
}

/** A page with little to say. */
export function MessagePage({ title, text }: { title: string; text: string }) {
  return (
    <Layout title={`${title} · ring3`}>
      <section class="panel message">
        <h1>{title}</h1>
        <p>{text}</p>
        <p>
          <a href="/">To the dashboard</a>
        </p>
      </section>
    </Layout>
  );
}
