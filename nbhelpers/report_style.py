"""How the report looks: fonts every machine has, readable on a phone, in a window and on paper."""

STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --quiet: #667085; --line: #e4e7ec;
  --wash: #f7f8fa; --paper: #fff; --said: #3c4454; --link: #1d4f91; --bad: #b42318; --warn: #a05a00;
  --note: #2f5fb8; --blue: #eef4ff; --on-blue: #1e3f86; --amber: #fff6e5; --on-amber: #7a4b00;
  --red: #fef1f0; --on-red: #8c1d13; --green: #e7f6ec; --on-green: #1a6b37; --grey: #eef0f3;
  --on-grey: #5b6472;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  --serif: Charter, "Bitstream Charter", "Iowan Old Style", Cambria, Georgia, "DejaVu Serif",
  serif; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 1240px; display: grid; grid-template-columns: 230px minmax(0,
  1fr); gap: 0 48px;
  padding: 0 32px; color: var(--ink); background: var(--paper); font: 16.5px/1.6 var(--serif); }
nav { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto;
  padding: 44px 0 32px;
  font: 14px/1.45 var(--sans); }
nav h2 { all: unset; display: block; color: var(--quiet); font-size: 12px; font-weight: 600;
  letter-spacing: .08em; text-transform: uppercase; margin-bottom: 10px; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { padding: 4px 0; display: flex; gap: 8px; }
nav li span { color: var(--quiet); font-variant-numeric: tabular-nums; }
nav li.off { color: var(--quiet); }
nav li.bad a { color: var(--bad); } nav li.warn a { color: var(--warn); }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
main { max-width: 900px; min-width: 0; padding: 36px 0 64px; }
h1 { font: 700 31px/1.2 var(--sans); letter-spacing: -.02em; margin: 0 0 18px; }
section > h2 { font: 650 22px/1.3 var(--sans); letter-spacing: -.01em; margin: 46px 0 14px;
  padding-top: 24px;
  border-top: 1px solid var(--line); }
.answer { font: 18px/1.55 var(--sans); margin: 0 0 22px; max-width: 70ch; }
.answer b { text-transform: capitalize; }
header + section > h2 { border-top: 0; margin-top: 26px; padding-top: 0; }
.number { color: var(--quiet); font-weight: 400; font-variant-numeric: tabular-nums;
  margin-right: 2px; }
dl { display: flex; flex-wrap: wrap; gap: 6px 34px; margin: 0 0 20px; font-family: var(--sans); }
dt { font-size: 12px; color: var(--quiet); } dd { margin: 0; font-size: 15.5px; font-weight: 600; }
.banner { margin: 8px 0; padding: 9px 14px; border-radius: 6px; font: 600 15px/1.4 var(--sans);
  border-left: 5px solid; }
.banner::first-letter, .label::first-letter { text-transform: uppercase; }
.phantom { background: var(--blue); border-color: #3b6fd4; color: var(--on-blue); }
.smoke { background: var(--amber); border-color: #e39a12; color: var(--on-amber); }
.broken, .trouble { background: var(--red); border-color: #d92d20; color: var(--on-red); }
.trouble { padding: 9px 14px; border-left: 5px solid #d92d20; border-radius: 6px;
  font: 14.5px/1.5 var(--sans);
  overflow-wrap: anywhere; }
.badge { font: 600 12px/1 var(--sans); letter-spacing: 0; padding: 4px 8px; border-radius: 20px;
  display: inline-block; vertical-align: 3px; white-space: nowrap; }
.label { margin: -10px 0 18px; font: 500 13px/1.4 var(--sans); color: var(--note); }
td .badge { vertical-align: 1px; }
.badge.good { background: var(--green); color: var(--on-green); }
.badge.bad { background: var(--red); color: var(--on-red); }
.badge.warn { background: var(--amber); color: var(--on-amber); }
.badge.off { background: var(--grey); color: var(--on-grey); }
figure { margin: 26px 0 34px; }
figure img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption { margin-top: 10px; font: 14.5px/1.5 var(--sans); color: var(--said); max-width: 76ch; }
.table figcaption { margin: 0 0 8px; }
.stamp { color: var(--quiet); font-size: 12.5px; display: block; }
.controls { display: flex; flex-wrap: wrap; gap: 10px 24px; margin: 0 0 14px;
  font: 14.5px/1.4 var(--sans); }
.controls label { display: flex; align-items: center; gap: 8px; }
.controls select, .controls input { font: inherit; }
.window { width: 256px; height: 256px; overflow: hidden; border-radius: 4px; background: #fff; }
.window img { display: block; max-width: none; } .window img[hidden] { display: none; }
#walk output { font: 14.5px/1.5 var(--sans); color: var(--said); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font: 14px/1.4 var(--sans);
  font-variant-numeric: tabular-nums lining-nums;
  min-width: 50%; border-top: 2px solid var(--ink); border-bottom: 2px solid var(--ink); }
th { text-align: left; font-weight: 600; padding: 7px 14px 7px 8px;
  border-bottom: 1px solid var(--ink);
  vertical-align: bottom; white-space: nowrap; }
td { padding: 5px 14px 5px 8px; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child td { border-bottom: 0; } tbody tr:hover { background: var(--wash); }
.long { min-width: 38em; }
.n { text-align: right; white-space: nowrap; }
#notebooks table { width: 100%; }
#notebooks td:first-child { color: var(--quiet); width: 2em; }
#notebooks small { display: block; color: var(--on-red); font-size: 13px; overflow-wrap: anywhere; }
.quiet { color: var(--quiet); font: 14.5px/1.5 var(--sans); }
code { font: .9em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  background: var(--wash); padding: 2px 5px; border-radius: 4px; overflow-wrap: anywhere; }
footer { margin-top: 60px; padding-top: 16px; border-top: 1px solid var(--line);
  color: var(--quiet);
  font: 13.5px/1.6 var(--sans); }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --quiet: #98a2b3; --line: #2b313c; --wash: #1d222b; --paper: #14181f;
    --said: #c3c9d4; --link: #8ab4f8; --bad: #ff8a80; --warn: #f2b155; --note: #8ab4f8;
    --blue: #14233f; --on-blue: #b9d0ff; --amber: #33270f; --on-amber: #f5d08c; --red: #3a1a17;
    --on-red: #ffb4ab; --green: #12301d; --on-green: #8fdcab; --grey: #262c36; --on-grey: #b4bcc8; }
  figure img { padding: 6px; }
}
@media (max-width: 900px) {
  body { display: flex; flex-direction: column; padding: 0 18px; font-size: 16px; }
  nav { order: 1; position: static; max-height: none; padding: 22px 0 40px; }
  nav ul { columns: 2; column-gap: 22px; }
  main { padding-top: 22px; } h1 { font-size: 25px; }
}
@media (max-width: 480px) { nav ul { columns: 1; } section > h2 { font-size: 19px; } }
@media print {
  @page { margin: 18mm 16mm; }
  body { display: block; max-width: none; padding: 0; font-size: 10.5pt; }
  nav, #walk { display: none; }
  main { max-width: none; padding: 0; } a { color: inherit; }
  figure, tr, .banner { break-inside: avoid; } h2 { break-after: avoid; }
  .scroll { overflow: visible; } .long { min-width: 0; }
  figure img { max-height: 220mm; width: auto; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
