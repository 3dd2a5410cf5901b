"""How the page looks: by day, by night and on paper."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--faint:#59636e;--paper:#fff;--rule:#d1d9e0;--line:#0969da;
--limit:#bc4c00;--mark:#8250df;--good:#1a7f37;--bad:#cf222e}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9198a1;--paper:#0d1117;--rule:#3d444d;--line:#58a6ff;
--limit:#f0883e;--mark:#bc8cff;--good:#3fb950;--bad:#f85149}}
@media print{:root{color-scheme:light;--ink:#000;--faint:#444;--paper:#fff;--rule:#bbb;--line:#00529b;--limit:#a04000;
--mark:#5a2ca0;--good:#116329;--bad:#a40e26}section,figure{break-inside:avoid}main{max-width:none}.wide{overflow:visible}table{font-size:.8rem}td{overflow-wrap:anywhere}}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:64rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:1.6rem 0 .5rem;border-bottom:1px solid var(--rule)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:.3rem 0}
dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}
.answer{border-left:.35rem solid var(--faint);padding:.3rem 0 .3rem 1rem;font-size:1.05rem}
.answer.good{border-color:var(--good)}.answer.bad{border-color:var(--bad)}
.wide{overflow-x:auto}table{min-width:min(26rem,100%);border-collapse:collapse;margin:.5rem 0;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--faint);padding:.2rem 0;overflow-wrap:anywhere}
th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--rule);vertical-align:top}
th{color:var(--faint);font-weight:600}figure{margin:0}figcaption{color:var(--faint);font-size:.9rem}
svg{width:100%;height:auto;font:11px system-ui,sans-serif}svg text{fill:var(--ink)}
.frame{fill:none;stroke:var(--rule)}.grid{stroke:var(--rule);stroke-width:.5}.tick{fill:var(--faint)}
.name{font-weight:600}.line{fill:none;stroke:var(--line);stroke-width:1.5}.dot{fill:var(--line)}
.limit{stroke:var(--limit);stroke-dasharray:6 3}svg .limit-name{fill:var(--limit)}
.mark{stroke:var(--mark);stroke-width:1.2}.mark-1,.mark-3{stroke-dasharray:4 2}.mark-2,.mark-4{stroke-dasharray:1 3}
svg .mark-name{fill:var(--mark)}
"""
