"""One set of colours and one style sheet for the page and its figures; light and dark.

The series colours keep a contrast of 3 to 1 on both backgrounds and differ in lightness as well as in hue;
no series is told apart by colour alone (markers and dashes differ too).
"""

from __future__ import annotations

BLUE, ORANGE, GREEN, PURPLE, RED, GREY = "#3b7ddd", "#c8690a", "#0e9575", "#9a63d8", "#d8435c", "#8b93a1"
# Not system-ui: on a Linux without a desktop it means a serif.
FONTS = "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, Inter, 'Noto Sans', Arial, sans-serif"

# From transparent, so that an empty cell fades into either background.
SEQUENTIAL_BLUE = [[0.0, "rgba(59,125,221,.08)"], [1.0, "rgba(59,125,221,1)"]]
SEQUENTIAL_GREEN = [[0.0, "rgba(14,149,117,.08)"], [1.0, "rgba(14,149,117,1)"]]

PICK_SYMBOLS = {"fastest": "triangle-up", "knee": "diamond", "accurate": "star", "gradient": "hexagon"}
ORIGIN_STYLES = {
    "random": ("Random architectures", ORANGE, "square"),
    "mobilenet_v3": ("MobileNetV3-small", GREEN, "x"),
    "published": ("Published architectures", GREEN, "cross"),
}

STYLE = """
:root { color-scheme: light dark; --bg: #fff; --soft: #f5f7fa; --card: #fff; --line: #e3e7ed; --text: #17202e;
  --muted: #5a6577; --accent: #2563c9; --grid: #e8ebf0; --shade: 0 1px 2px #0f172a0d, 0 8px 24px #0f172a0d; }
@media (prefers-color-scheme: dark) { :root { --bg: #10141b; --soft: #161b24; --card: #1a202b;
  --line: #2b3340; --text: #e7ebf2; --muted: #a0abbd; --accent: #7fb0ff; --grid: #2a3240; --shade: none; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--bg); color: var(--text); font: 16px/1.6 FONTS;
  font-variant-numeric: tabular-nums; }
.wrap { max-width: 1240px; margin: 0 auto; padding: 0 24px; }
nav { position: sticky; top: 0; z-index: 5; background: var(--bg); border-bottom: 1px solid var(--line);
  font-size: 14px; }
nav .wrap { display: flex; gap: 22px; align-items: center; overflow-x: auto; height: 52px;
  white-space: nowrap; scrollbar-width: none; }
nav b { letter-spacing: -.02em; font-size: 17px; margin-right: auto; padding-right: 12px; }
nav a { color: var(--muted); text-decoration: none; }
nav a:hover { color: var(--text); }
a { color: var(--accent); }
.hero { background: var(--soft); border-bottom: 1px solid var(--line); padding: 52px 0 40px; }
.eyebrow { color: var(--muted); font-size: 14px; margin: 0 0 10px; overflow-wrap: anywhere; }
h1 { font-size: clamp(34px, 6vw, 60px); line-height: 1.08; letter-spacing: -.035em; margin: 0 0 16px;
  font-weight: 700; text-wrap: balance; }
h2 { font-size: 28px; letter-spacing: -.025em; line-height: 1.2; margin: 0 0 8px; }
h3 { font-size: 17px; letter-spacing: -.01em; margin: 0 0 4px; }
p { margin: 0 0 14px; max-width: 72ch; text-wrap: pretty; }
.lead { font-size: 19px; color: var(--muted); max-width: 62ch; margin-bottom: 28px; }
section { padding: 56px 0 0; scroll-margin-top: 40px; }
ul.verdict { list-style: none; margin: 0 0 24px; padding: 0; display: grid; gap: 8px;
  max-width: 900px; }
ul.verdict li { display: grid; grid-template-columns: 92px 1fr; gap: 4px 12px; background: var(--card);
  border: 1px solid var(--line); border-left: 5px solid var(--level); border-radius: 10px;
  padding: 9px 14px;
  font-size: 15px; line-height: 1.45; }
ul.verdict b { color: var(--level); }
ul.verdict small { display: block; color: var(--muted); font-size: 13.5px; }
li.bad { --level: #c02640; } li.warn { --level: #a85800; } li.good { --level: #0a7a5f; }
@media (prefers-color-scheme: dark) { li.bad { --level: #ff7d92; } li.warn { --level: #f0a04b; }
  li.good { --level: #45cfa9; } }
@media (max-width: 640px) { ul.verdict li { grid-template-columns: 1fr; } }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); gap: 12px;
  margin: 10px 8px; }
.pictures.wide { grid-template-columns: repeat(auto-fill, minmax(280px, 1fr)); }
.pictures figure { margin: 0; font-size: 12px; line-height: 1.35; color: var(--muted); }
.pictures img { display: block; width: 100%; image-rendering: pixelated; border-radius: 6px;
  margin: 0 0 4px; }
.pictures b { color: var(--text); }
table.matrix td, table.matrix th { padding: 5px 8px; text-align: center; }
table.matrix th:first-child { text-align: left; }
.wraps td, .wraps th { white-space: normal; padding-right: 10px; }
.note { color: var(--muted); font-size: 14px; max-width: 90ch; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
  margin: 0 0 20px; padding: 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 16px 18px;
  box-shadow: var(--shade); }
.cards dt { color: var(--muted); font-size: 13px; }
.cards dd { margin: 2px 0 0; font-size: 26px; font-weight: 650; letter-spacing: -.03em; line-height: 1.2; }
.cards small { display: block; color: var(--muted); font-size: 12.5px; font-weight: 400; letter-spacing: 0;
  margin-top: 4px; line-height: 1.4; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 16px;
  margin: 18px 0; }
.card.figure { padding: 18px 14px 8px; margin: 18px 0; min-width: 0; }
.grid .card.figure { margin: 0; }
.figure h3, .figure > p { padding: 0 8px; }
.figure > p { color: var(--muted); font-size: 14px; margin: 0 0 4px; max-width: 100ch; }
.figure > .facts { margin: 2px 0 10px; max-width: none; }
.figure > .scroll { margin: 6px 8px 10px; }
.figure > details { padding: 0 8px 8px; }
.plot { width: 100%; }
.plot .modebar { opacity: 0; transition: opacity .2s; }
.plot:hover .modebar, .plot:focus-within .modebar { opacity: 1; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 8px; }
.drawing { margin: 14px 0 10px; }
.drawing svg { display: block; max-width: none; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 9px 12px 9px 0; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th { font-weight: 600; }
thead th { color: var(--muted); font-weight: 500; font-size: 13px; vertical-align: bottom; line-height: 1.35;
  white-space: normal; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--card); }
td small, th small { display: block; white-space: normal; max-width: 200px; margin-left: auto;
  color: var(--muted); font-weight: 400; font-size: 12px; }
th:first-child small { margin-left: 0; }
tbody tr:last-child > * { border-bottom: 0; }
ul.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; margin: 0 0 8px;
  font-size: 14px; }
.swatch { display: inline-block; width: 13px; height: 13px; border-radius: 4px; margin-right: 7px;
  vertical-align: -1px; }
.pending { border: 1px dashed var(--line); border-radius: 14px; padding: 18px 20px; color: var(--muted);
  margin: 16px 0; max-width: none; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 22px; font-size: 14px; color: var(--muted);
  margin: 0 0 10px; }
.facts b { color: var(--text); font-weight: 600; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9em;
  overflow-wrap: anywhere; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 12px; padding: 16px 18px;
  overflow-x: auto; font-size: 13.5px; line-height: 1.6; margin: 8px 0 20px; }
pre.command { white-space: pre-wrap; }
pre code { overflow-wrap: normal; font-size: inherit; }
summary { cursor: pointer; color: var(--muted); font-size: 14px; }
footer { color: var(--muted); font-size: 13px; border-top: 1px solid var(--line); margin-top: 64px;
  padding: 22px 0 40px; }
@media (max-width: 640px) { .wrap { padding: 0 16px; } .hero { padding: 32px 0 26px; }
  section { padding-top: 42px; } h2 { font-size: 24px; } .lead { font-size: 17px; }
  .cards { grid-template-columns: 1fr 1fr; }
  .cards dd { font-size: 22px; } .card { padding: 13px 14px; } }
@media print { nav { display: none; } .card { break-inside: avoid; box-shadow: none; } }
""".replace("FONTS", FONTS)

SCRIPT = """
"use strict";
const variable = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function themed(layout) {
  const axes = Object.keys(layout).filter(key => /^[xy]axis/.test(key));
  const colours = { gridcolor: variable("--grid"), linecolor: variable("--line"),
    zerolinecolor: variable("--grid") };
  const out = { ...layout, font: { ...layout.font, color: variable("--muted") },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: variable("--muted"), activecolor: variable("--accent") },
    hoverlabel: { bgcolor: variable("--card"), bordercolor: variable("--line"), align: "left",
      font: { color: variable("--text"), size: 13 } } };
  for (const axis of axes) out[axis] = { ...colours, ...layout[axis] };
  return out;
}
function draw() {
  for (const place of document.querySelectorAll("[data-figure]")) {
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const entries = figure.data.filter(trace => trace.name && trace.showlegend !== false).length;
    if (place.clientWidth < 500 && figure.layout.showlegend !== false) figure.layout.height += 14 * entries;
    Plotly.react(place, figure.data, themed(figure.layout), { responsive: true, displaylogo: false,
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] });
  }
}
async function unpack() {
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent), c => c.charCodeAt(0));
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(plain).text();
  document.head.append(script);
}
unpack().then(() => {
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}).catch(error => {
  for (const place of document.querySelectorAll("[data-figure]"))
    place.textContent = `This browser cannot draw the figures (${error}); one of 2023 or newer can.`;
});
"""
