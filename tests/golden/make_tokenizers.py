# SPDX-License-Identifier: MIT
"""Writes tokenizers.json: small vocabularies that Hugging Face's tokenizers library trained, and its ids of some texts.

    python tests/golden/make_tokenizers.py ../shared/data
"""
import copy
import json
import os
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

MARK = "\u2581"
LETTERS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# No model's: what PCRE2 and Oniguruma write differently.
ODD = r"\p{Han}+|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]++|\d{1,2}|\u00a0| ?[^\s\p{L}\p{N}]+|(?<=x)\s|[\s\d]+"


def split(regex, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def metaspace(scheme):
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": False}


def template(text, token):
    return {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {text: {"id": text, "ids": [token], "tokens": [text]}}}


def added(token, text, special, **flags):
    return {"id": token, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": special} | flags


def corpus(folder):
    for name in ("wikitext2-raw-test.txt", "moby-dick.txt"):
        with open(os.path.join(folder, "text", name), encoding="utf8") as f:
            for line in f:
                yield line[:2000]


def train(folder, tokenizer, size, special, alphabet, limit):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet,
                                  limit_alphabet=limit, show_progress=False)
    tokenizer.train_from_iterator(corpus(folder), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": model["merges"]}


def train_models(folder):
    whole = Tokenizer(models.BPE())
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace(MARK, "always", split=True)
    end = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    low = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)]
    out = {"bytes": train(folder, whole, 520, end, pre_tokenizers.ByteLevel.alphabet(), 256),
           "fallback": train(folder, words, 520, low, [], 90)}
    # Old files have merges as strings.
    out["bytes"]["merges"] = [" ".join(m) for m in out["bytes"]["merges"]]
    return out


BYTES_ADDED = [added(0, "<|endoftext|>", True), added(1, "<|im_start|>", True), added(2, "<|im_end|>", True)]
BYTES_MORE = [added(520, "<tool>", False), added(521, "x  ", False)]
STRIP = [added(522, "<|end|>", True, rstrip=True), added(523, "<mask>", True, lstrip=True)]
FALLBACK_ADDED = [added(0, "<unk>", True), added(1, "<s>", True), added(2, "</s>", True),
                  added(520, "<tool>", False), added(521, "[INST]", True)]


def bytes_case(name, pre, **more):
    return {"name": name, "model": "bytes", "options": {}, "added_tokens": BYTES_ADDED + BYTES_MORE,
            "normalizer": None, "pre_tokenizer": pre, "post_processor": None, "without": [], "gguf": True} | more


def fallback_case(name, **more):
    return {"name": name, "model": "fallback",
            "options": {"byte_fallback": True, "unk_token": "<unk>", "fuse_unk": True},
            "added_tokens": FALLBACK_ADDED, "normalizer": None, "pre_tokenizer": None,
            "post_processor": template("<s>", 1), "without": [], "gguf": True} | more


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
PREPEND = {"type": "Prepend", "prepend": MARK}
CASES = [
    bytes_case("gpt-2", byte_level(True)),
    bytes_case("smollm", sequence({"type": "Digits", "individual_digits": True}, byte_level(True)),
               added_tokens=BYTES_ADDED, without=["\u0104", "\u0100", "\u0121"]),
    bytes_case("llama-bpe", sequence(split(LETTERS % r"\p{N}{1,3}"), byte_level(False)),
               options={"ignore_merges": True},
               post_processor={"type": "Sequence", "processors": [byte_level(True), template("<|im_start|>", 1)]}),
    bytes_case("smaug-bpe", sequence(split(LETTERS % r"\p{N}{1,3}"), byte_level(False)),
               added_tokens=BYTES_ADDED + BYTES_MORE + STRIP, gguf=False),
    bytes_case("qwen2", sequence(split(LETTERS % r"\p{N}", "Removed", True), byte_level(False)),
               normalizer={"type": "NFC"}),
    bytes_case("tekken", sequence(split(TEKKEN), byte_level(False)), options={"ignore_merges": True}),
    bytes_case("", sequence({"type": "Digits", "individual_digits": False},
                            {"type": "Split", "pattern": {"String": ";."}, "behavior": "Isolated", "invert": False},
                            split(ODD, "Removed", True), split("q", "Removed"), byte_level(False)), gguf=False),
    bytes_case("", byte_level(False), gguf=False),
    fallback_case("prepend", normalizer={"type": "Sequence", "normalizers": [PREPEND, REPLACE]}),
    fallback_case("first", pre_tokenizer=metaspace("first")),
    fallback_case("always", pre_tokenizer=metaspace("always")),
    fallback_case("never", normalizer=REPLACE, post_processor=None),
]


def texts(folder):
    r = random.Random(7)
    # In normal form C: none of the characters goes together with another one.
    chars = ("abcXYZ  \n\r\t'\u017fstllx;.q1234567890\u00bd\u00b2\u00e9\u00e0\u6f22\u5b57\u304b\u0438\u0440\u00a0"
             "\u0085\u180e\u2003\u3000\U0001f600<>|_-!?/\x04\x00\x7f\u2581\u00df\u01c5\u02b0")
    parts = ["<tool>", "<|end|>", "<mask>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "x  ", "'s", "'LL",
             " the", " 12345 ", "<0x41>", "\r\n", MARK * 2, "    "]
    out = ["", " ", "a", "  two  spaces", "I'LL don't '\u017fe 'RE", "1234567 12 \u00bd", "Queequeg's  ship\n\n\tsailed!"]
    with open(os.path.join(folder, "text", "wikitext2-raw-test.txt"), encoding="utf8") as f:
        lines = [line for line in f if len(line) > 100]
    out += [line[:90] for line in r.sample(lines, 8)]
    for _ in range(22):
        out.append("".join(r.choice(parts) if r.random() < .3 else r.choice(chars) for _ in range(r.randrange(3, 18))))
    return out


def build(case, all_models):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    model |= case["options"] | copy.deepcopy(all_models[case["model"]])
    for text in case["without"]:
        del model["vocab"][text]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": case["added_tokens"],
            "normalizer": case["normalizer"], "pre_tokenizer": case["pre_tokenizer"],
            "post_processor": case["post_processor"], "decoder": None, "model": model}


def main():
    all_models = train_models(sys.argv[1])
    all_texts = texts(sys.argv[1])
    cases = []
    for case in CASES:
        tokenizer = Tokenizer.from_str(json.dumps(build(case, all_models)))
        for token in case["added_tokens"]:
            assert tokenizer.token_to_id(token["content"]) == token["id"], token
        cases.append(case | {"ids": [e.ids for e in tokenizer.encode_batch(all_texts)]})
    parts = ['"models":' + json.dumps(all_models, separators=(",", ":"), ensure_ascii=False),
             '"texts":' + json.dumps(all_texts, separators=(",", ":"), ensure_ascii=False),
             '"cases":[\n' + ",\n".join(json.dumps(c, separators=(",", ":"), ensure_ascii=False) for c in cases) + "]"]
    with open(os.path.join(os.path.dirname(__file__), "tokenizers.json"), "w", encoding="utf8") as f:
        f.write("{" + ",\n".join(parts) + "}\n")


main()
