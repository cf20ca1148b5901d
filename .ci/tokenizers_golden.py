"""Writes the samples and the expected ids of pkg/tokenizer's tests, by the reference libraries.

usage: python tokenizers_golden.py TESTDATA REAL
(tokenizers, transformers, sentencepiece, tiktoken, mistral-common)
TESTDATA/small gets small tokenizer.json files of each kind and golden.json with the ids that the tokenizers library gives them;
TESTDATA/real.json gets ids of the real vocabularies in the folder REAL, which .ci/setup fetches. Changes nothing where all is as before.
"""
import json, pathlib, random, sys

import sentencepiece, tiktoken, tiktoken.load
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

out, real = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"{1,3}", "")
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
CAPITALS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = CASED + "|" + CAPITALS + r"|\p{N}" + REST
O200K = CASED + r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" + CAPITALS + r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}" + REST

training = ["the state of the model, the state forgets what the State held; it's 1234 tokens and don't forget.\n\n  indented\tcode(x) // comment\n",
            "naïve café été Ärger straße Привет мир καλημέρα κόσμε 你好世界 こんにちは 損失 नमस्ते"] * 4
texts = ["", " ", "  ", "a", " a", "a ", "  a  b   c", "Hello world, it's 12345 tokens!  two  spaces\n\n\ttab", "é e\u0301 ﬁ ½ 損失 🦙👩‍👩‍👧",
         "the state<|endoftext|>x<|im_end|></s><s> <unk>", "don't DON'T we'LL I'Ve 'sſ 'ſ can'ſt \u00a0nbsp \u2003em", "x" * 50 + " " + "1" * 9,
         "\r\n\r\n a\r b", "a\u200bb \u0085 \u2028 \ufeff", "ſ's İ ǅ ⁵ ② Ⅷ ٣ ५", "HELLOworld helloWORLD HTTPServer iPhone ǅemal ʰa 中A文b", "path//to///file.go:12/\n//x\n",
         "\t\tif x[i] != \"ä\" { return αβγ } // 你好 🙂", "\n", "\n\n\n", " \n \n ", "e\u0301\u0302\u0303a \u0301b", "▁under ▁▁score", "<0x0A> <0x41>",
         "\x00\x01\x7f", "ａｂｃ ﷺ ㍿", "a\u0300 \u0300a", "'", "''s'", "12 345.67e-8 १२३४", "the the the the", "forget\u3000forgets", "שלום مرحبا", "🇩🇪🏳️‍🌈",
         "state " * 40, "ends with spaces   ", "\u2029x\u1680y", "tokens\n\n\n\nforget  \n  the"]
r = random.Random(7)
bits = ["the", " ", "  ", "\n", "\r\n", "\t", "'", "'s", "'LL", "A", "Zz", "é", "e\u0301", "\u0301", "1", "22", "४", "½", "/", "...", "你", "好", "🙂", "\u00a0", "\u3000", "ǅ", "ʰ", "İ",
        "▁", "<s>", "</s>", "<|endoftext|>", "state", " forget", "ß", "\u200b", "\u0085", "_", "Привет"]
texts += ["".join(r.choice(bits) for _ in range(r.randrange(1, 14))) for _ in range(120)]


def bytelevel(pre, **kw):
    t = Tokenizer(models.BPE(**kw))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    t.train_from_iterator(training, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"], show_progress=False))
    return t


def split(expression, **kw):
    return bytelevel(pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), **kw)


def characters(normalizer, pre, fallback=True, fuse=True, unk="<unk>"):
    t = Tokenizer(models.BPE(unk_token=unk, byte_fallback=fallback, fuse_unk=fuse))
    t.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<s>", "</s>"] + ([f"<0x{b:02X}>" for b in range(256)] if fallback else [])
    t.train_from_iterator(training[:1], trainers.BpeTrainer(vocab_size=700, limit_alphabet=60, special_tokens=special, show_progress=False))
    parts = json.loads(t.to_str())
    parts["added_tokens"] = [a for a in parts["added_tokens"] if a["id"] < 3]
    t = Tokenizer.from_str(json.dumps(parts))
    t.normalizer, t.decoder = normalizer, decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    if pre is not None:
        t.pre_tokenizer = pre
    return t


def template(t, before, after=()):
    single = " ".join([*before, "$A", *after])
    t.post_processor = processors.TemplateProcessing(single=single, pair=single + " $B:1", special_tokens=[(s, t.token_to_id(s)) for s in {*before, *after}])
    return t


prepend = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
meta = lambda scheme, cut: pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=cut)
small = {
    "gpt2": bytelevel(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "prefix": bytelevel(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "gpt2-split": split(GPT2), "llama3": split(LLAMA3), "qwen2": split(QWEN2), "cased": split(TEKKEN), "o200k": split(O200K),
    "digits": bytelevel(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "llama2": template(characters(prepend, None), ["<s>"]),
    "llama2-first": template(characters(None, meta("first", False)), ["<s>"]),
    "metaspace": characters(None, meta("always", True)), "metaspace-never": characters(None, meta("never", True)),
    "unknown": characters(prepend, None, fallback=False), "unknown-apart": characters(prepend, None, fallback=False, fuse=False),
    "dropped": characters(prepend, None, fallback=False, unk=None),
    "template": template(bytelevel(pre_tokenizers.ByteLevel(add_prefix_space=False)), ["<|endoftext|>"], ["<|endoftext|>"]),
}
for form in ("NFC", "NFD", "NFKC", "NFKD"):
    small[form.lower()] = bytelevel(pre_tokenizers.ByteLevel(add_prefix_space=False))
    small[form.lower()].normalizer = getattr(normalizers, form)()
small["llama3"].post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template(small["llama3"], ["<|endoftext|>"]).post_processor])
ignore = json.loads(small["llama3"].to_str())
ignore["model"]["ignore_merges"], ignore["model"]["merges"] = True, ignore["model"]["merges"][::3]  # words that no merge gives
small["ignore-merges"] = Tokenizer.from_str(json.dumps(ignore))
normal = json.loads(small["llama2"].to_str())
normal["added_tokens"].append({"id": 700, "content": "forget", "single_word": False, "lstrip": False, "rstrip": False, "normalized": True, "special": False})
small["normalized-token"] = Tokenizer.from_str(json.dumps(normal))


def write(path, value):
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    path.write_text(text.replace('],[', '],\n[') + "\n")


(out / "small").mkdir(parents=True, exist_ok=True)
for name, t in small.items():
    (out / "small" / f"{name}.json").write_text(t.to_str() + "\n")
write(out / "small" / "golden.json", {"texts": texts, "ids": {n: [t.encode(x).ids for x in texts] for n, t in small.items()}})

ids = {}
ranks = tiktoken.load.load_tiktoken_bpe(str(real / "llama3.model"))
llama3 = tiktoken.Encoding("llama3", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
ids["llama3.model"] = [llama3.encode(t, disallowed_special=()) for t in texts]
for name in ("mistral.model.v1", "mistral.model.v3"):
    s = sentencepiece.SentencePieceProcessor(model_file=str(real / name))
    ids[name] = [s.encode(t) for t in texts]
tekken = json.loads((real / "tekken.json").read_text())
import base64
size = tekken["config"]["default_vocab_size"] - tekken["config"]["default_num_special_tokens"]
t = tiktoken.Encoding("tekken", pat_str=tekken["config"]["pattern"], mergeable_ranks={base64.b64decode(v["token_bytes"]): v["rank"] for v in tekken["vocab"][:size]}, special_tokens={})
ids["tekken.json"] = [[i + 1000 for i in t.encode(x, disallowed_special=())] for x in texts]
sys.path.insert(0, str(real))
from rwkv_tokenizer import TRIE_TOKENIZER
w = TRIE_TOKENIZER(str(real / "rwkv_vocab_v20230424.txt"))
ids["rwkv_vocab_v20230424.txt"] = [w.encode(x) for x in texts]
write(out / "real.json", {"texts": texts, "ids": ids})
