"""Writes tests/fixtures/jinja/renderings.json: what transformers renders from real models' templates.

python jinja-renderings.py <folder of .jinja files> <renderings.json>

Keeps the conversations that the file holds. Needs transformers and jinja2. Nothing of the templates is written, only
8 digits of each rendering's sha256, `-` where jinja2 raises; first with the next turn opened, then without.
"""

import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path

import transformers.utils.chat_template_utils as chat


class Pinned(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime(2024, 7, 26, 12, 0, 0)


chat.datetime = Pinned
folder, target = Path(sys.argv[1]), Path(sys.argv[2])
conversations = json.loads(target.read_text())["conversations"]
hashes = {}
for path in sorted(folder.glob("*.jinja")):
    source = path.open(newline="").read()
    found = []
    for following in (True, False):
        for turns in conversations:
            messages = [{"role": role, "content": content} for role, content in turns]
            try:
                text = chat._compile_jinja_template(source).render(
                    messages=messages, add_generation_prompt=following, bos_token="<s>", eos_token="</s>"
                )
                found.append(hashlib.sha256(text.encode()).hexdigest()[:8])
            except Exception:
                found.append("-")
    hashes[path.name] = " ".join(found)
lines = lambda items: ",\n".join(items)
target.write_text(
    '{\n"conversations": [\n'
    + lines(json.dumps(one) for one in conversations)
    + '\n],\n"templates": {\n'
    + lines(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in hashes.items())
    + "\n}\n}\n"
)
