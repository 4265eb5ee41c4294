"""The look of the report page."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light dark; --back:#f6f7f9; --card:#fff; --ink:#1b2330; --soft:#667085; --line:#e3e7ed;
  --plain:#4c7bd9; --int8:#1f9d7a; --int16:#3b82c4; --float:#e08a2e; --hybrid:#9061c2; --conversion:#9aa4b2;
  --other:#c3cad4; --good:#17805f; --bad:#c22f2f; }
@media (prefers-color-scheme: dark) { :root { --back:#12161c; --card:#1b212a; --ink:#e7ebf1; --soft:#98a3b3;
  --line:#2c3542; --plain:#6b95ea; --good:#46c59b; --bad:#ef7272; } }
* { box-sizing: border-box; }
body { margin:0; background:var(--back); color:var(--ink); font:15px/1.5 system-ui,-apple-system,"Segoe UI",
  Roboto,"Helvetica Neue",sans-serif; }
main { max-width:1120px; margin:0 auto; padding:32px 24px 64px; }
h1 { font-size:26px; margin:0 0 2px; overflow-wrap:anywhere; }
h2 { font-size:17px; margin:0 0 12px; }
h3 { font-size:14px; margin:18px 0 8px; }
.note { color:var(--soft); margin:-8px 0 14px; font-size:13.5px; }
section { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:20px 22px;
  margin-top:18px; }
.tiles { display:grid; grid-template-columns:repeat(4,1fr); gap:12px; margin-top:22px; }
.tile { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:14px 16px; }
.tile b { display:block; font-size:22px; font-weight:650; letter-spacing:-.01em; white-space:nowrap; }
.tile span { color:var(--soft); font-size:13px; }
.good b { color:var(--good); } .bad b { color:var(--bad); }
table { border-collapse:collapse; width:100%; font-size:13.5px; }
th { text-align:left; color:var(--soft); font-weight:550; border-bottom:1px solid var(--line); padding:5px 14px 5px 0;
  white-space:nowrap; }
td { border-bottom:1px solid var(--line); padding:5px 14px 5px 0; vertical-align:middle; overflow-wrap:anywhere; }
tbody tr:last-child td { border-bottom:0; }
.number { text-align:right; font-variant-numeric:tabular-nums; white-space:nowrap; }
.scroll { overflow-x:auto; }
.narrow { max-width:420px; }
.whole { white-space:nowrap; }
.mask { image-rendering:pixelated; }
.matrix { display:block; max-width:none; border-radius:6px; background:#fff; }
.name { font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace; font-size:12.5px; }
.bar { background:var(--line); border-radius:4px; height:9px; min-width:120px; overflow:hidden; }
.fill { height:100%; background:var(--plain); }
.stack { display:flex; height:18px; border-radius:6px; overflow:hidden; background:var(--line); }
.label { font-size:13px; color:var(--soft); margin-bottom:4px; }
.stacked { margin-bottom:14px; }
.key { font-size:13px; margin-right:16px; white-space:nowrap; }
.dot { display:inline-block; width:10px; height:10px; border-radius:3px; margin-right:6px; background:var(--plain); }
.int8 { background:var(--int8); } .int16 { background:var(--int16); } .float { background:var(--float); }
.hybrid { background:var(--hybrid); } .conversion { background:var(--conversion); }
.other { background:var(--other); }
.pictures { display:grid; grid-template-columns:repeat(4,1fr); gap:12px; }
figure { margin:0; } figure img { width:100%; border-radius:6px; display:block; background:var(--line); }
figcaption { font-size:13px; color:var(--soft); margin-top:4px; }
details summary { cursor:pointer; font-weight:600; }
details .scroll { margin-top:12px; }
footer { color:var(--soft); font-size:12.5px; margin-top:22px; }
@media (max-width:720px) { .pictures, .tiles { grid-template-columns:repeat(2,1fr); } main { padding:20px 14px 40px; } }
@media print { section, .tile { break-inside:avoid; } }
"""
