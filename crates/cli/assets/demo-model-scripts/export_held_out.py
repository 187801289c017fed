"""Writes held_out.json beside the demo model: the questions that its training never showed, with their exact answers
and the kind of each. Run it again only when corpus.py changes: `python3 export_held_out.py`."""
import json
from pathlib import Path

from corpus import held_out

# `held_out` asks a sum, a fact, a sum and a list in turn
KINDS = ["sum", "fact", "sum", "list"]

rows = [{"kind": KINDS[i % 4], "question": q, "answer": a} for i, (q, a) in enumerate(held_out(1000))]
target = Path(__file__).resolve().parent.parent / "held_out.json"
lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
target.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
