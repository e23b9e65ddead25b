"""The look of a report: calm, light or dark as the reader's system is, from 320 pixels on."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #ffffff; --line: #e2e5ea; --ink: #1d2127; --faint: #606975;
  --accent: #2563c9; --same: #12924c; --other: #d6322b; --ignored: #9aa0a6; --mat: #eceef1;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #0f1216; --card: #181c22; --line: #2b313a; --ink: #e7eaee; --faint: #9ca5b1;
    --accent: #76a9ff; --same: #2fbf71; --other: #ff6b61; --ignored: #7d858e; --mat: #242a32;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 1320px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 12px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 44px 0 4px; }
h3 { font-size: 15px; margin: 0 0 4px; }
p { margin: 4px 0 12px; max-width: 78ch; }
.faint, figcaption, .facts dt { color: var(--faint); }
nav a { color: var(--accent); margin-right: 16px; white-space: nowrap; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 0 0 14px; }
.facts div { display: flex; gap: 7px; min-width: 0; }
.facts dd { margin: 0; }
.cards, .charts { display: grid; gap: 14px; margin: 22px 0; }
.cards { grid-template-columns: repeat(auto-fill, minmax(136px, 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)); }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px;
  min-width: 0;
}
.card .value { font-size: 24px; font-weight: 650; line-height: 1.25; white-space: nowrap; }
.card .faint, .card p { font-size: 13px; line-height: 1.4; margin-bottom: 0; }
svg { display: block; width: 100%; height: auto; margin-top: 8px; }
svg text { font-size: 11px; fill: var(--faint); }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .mark { fill: var(--ink); font-weight: 600; }
svg .grid { stroke: var(--line); }
svg .axis { stroke: var(--faint); }
svg .line { fill: none; stroke: var(--accent); stroke-width: 2.2; stroke-linejoin: round; }
svg .dot { fill: var(--accent); }
svg .area { fill-opacity: 0.28; stroke-width: 1.3; }
svg .same { fill: var(--same); stroke: var(--same); }
svg .different { fill: var(--other); stroke: var(--other); }
.scroll { overflow-x: auto; margin-top: 10px; }
table { border-collapse: separate; border-spacing: 3px; font-size: 13px; }
th { font-weight: 500; color: var(--faint); padding: 2px; white-space: nowrap; }
td { text-align: center; padding: 5px 3px; border-radius: 6px; min-width: 40px; line-height: 1.2; }
td small { display: block; color: var(--faint); font-size: 11px; }
td.none { color: var(--faint); background: var(--mat); }
.legend span { margin-right: 16px; white-space: nowrap; }
.legend i {
  display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px;
}
.query { margin: 12px 0; }
.query header { display: flex; flex-wrap: wrap; gap: 2px 18px; margin-bottom: 8px; }
.query header span { color: var(--faint); }
.tiles { display: grid; gap: 8px; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); }
@media (min-width: 960px) { .query .tiles { grid-template-columns: repeat(11, 1fr); } }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 12px; line-height: 1.35; margin-top: 4px; }
figcaption b { color: var(--ink); font-weight: 600; }
.frame {
  border: 3px solid var(--faint); border-radius: 8px; background: var(--mat); overflow: hidden;
  aspect-ratio: 1 / 2; display: flex; align-items: center; justify-content: center;
}
.frame img { width: 100%; height: 100%; object-fit: contain; display: block; }
.frame .name { font-size: 11px; line-height: 1.3; padding: 4px; text-align: center; }
.bare .frame { aspect-ratio: auto; min-height: 64px; }
.same .frame, i.same { border-color: var(--same); }
.other .frame, i.other { border-color: var(--other); }
.ignored .frame, i.ignored { border-color: var(--ignored); }
.same b { color: var(--same); }
.other b { color: var(--other); }
i.same { background: var(--same); }
i.other { background: var(--other); }
i.ignored { background: var(--ignored); }
i.asked { background: var(--ink); }
.asked .frame { border-color: var(--ink); }
.ignored img { filter: grayscale(1); opacity: 0.6; }
.samples {
  display: grid; gap: 14px; margin-top: 12px;
  grid-template-columns: repeat(auto-fill, minmax(min(420px, 100%), 1fr));
}
.samples .tiles { grid-template-columns: repeat(5, 1fr); }
.samples .frame { border-width: 0; }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--accent); }
ul { padding-left: 20px; }
footer { margin-top: 48px; font-size: 13px; }
@media (max-width: 520px) {
  main { padding: 20px 12px 36px; }
  h1 { font-size: 23px; }
  .cards { grid-template-columns: repeat(2, 1fr); gap: 10px; }
  .card { padding: 12px; }
  .samples .tiles { grid-template-columns: repeat(auto-fill, minmax(60px, 1fr)); }
}
@media print { .card, .query { break-inside: avoid; } }
"""
