#!/usr/bin/env python3
"""An independent reader of the repository format, written from docs/format.md alone.

    read_repo.py REPO [KEY] list
    read_repo.py REPO [KEY] ls SNAPSHOT
    read_repo.py REPO [KEY] restore SNAPSHOT TARGET
    read_repo.py REPO [KEY] verify

REPO is a folder that holds the objects as files (a local repository, or a copy of any other). KEY is one of `--password-env
VARIABLE`, `--recovery-code-env VARIABLE`, `--key-file FILE` and `--escrow-key-file FILE`; without any the password is asked for. SNAPSHOT is `latest`
or the beginning of an id. It needs Python 3.11, `cryptography` and `zstandard`, and `argon2-cffi` where `cryptography` is
older than 44.

It shares no code with the engine: when both agree on a repository, the document that stands between them is complete. And it
is the last way out: one file to keep beside the recovery kit.

It only reads REPO. TARGET must be new or empty, and nothing is ever written outside it. Restored are files with their holes,
directories, symbolic and hard links, FIFOs, permissions and modification times; owners, extended attributes, sockets and
devices are not, and set-user-id and set-group-id bits are dropped, because the owner they speak for is not restored either.

A damaged object is named on standard error and what does not depend on it is still read; a file whose bytes can't be proven
is not restored. Exit codes: 0 done, 1 failed, 2 usage, 10 no repository, 12 wrong key, 16 damage.
"""

import argparse
import base64
import binascii
import collections
import getpass
import hashlib
import hmac
import io
import itertools
import json
import os
import re
import stat
import struct
import sys
from datetime import UTC, datetime, timedelta

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FAILED, USAGE, NO_REPOSITORY, WRONG_KEY, DAMAGED = 1, 2, 10, 12, 16

PASSWORD, KEY_FILE, RECOVERY_KIT, KEYRING, ESCROW = 1, 2, 3, 4, 5
SLOT, EPOCH, DATA_PACK, TREE_PACK, INDEX, SNAPSHOT, SESSION, MARK, VERIFY = 16, 17, 1, 2, 3, 4, 5, 6, 7
CONTENT, NODE, CHUNK_LIST = 1, 2, 3
FILE, DIRECTORY, SYMLINK, FIFO, SOCKET, CHARACTER_DEVICE, BLOCK_DEVICE = range(1, 8)

MAX_BLOCK = 16 << 20
MAX_PAYLOAD = 64 << 20
MAX_CONFIG = 64 << 10
MAX_VARINT_BYTES = 10

HEX_ID = re.compile(r"[0-9a-f]{64}\Z")
RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)\Z")


class Failure(Exception):
    """Ends the program with a message and an exit code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Damage(Exception):
    """An object is not what the format says. `key` names it."""

    def __init__(self, key, what):
        super().__init__(f"{key}: {what}")
        self.key = key


# ---- §1 conventions -------------------------------------------------------------------------------------------------


class Cursor:
    """Reads the parts of a plaintext in turn; whatever does not fit is a ValueError."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, count):
        end = self.at + count
        if end > len(self.data):
            raise ValueError("it ends too early")
        part = self.data[self.at : end]
        self.at = end
        return part

    def u8(self):
        return self.take(1)[0]

    def varint(self):
        value = 0
        for i in range(MAX_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if byte == 0 and i > 0:
                    raise ValueError("a varint is longer than need be")
                if value >= 1 << 64:
                    raise ValueError("a varint is too large")
                return value
        raise ValueError("a varint does not end")

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def bytes(self):
        return self.take(self.varint())

    def count(self, smallest):
        """A count of items of at least `smallest` bytes each, so that a false one cannot take memory."""
        value = self.varint()
        if value * smallest > len(self.data) - self.at:
            raise ValueError("a count is larger than what follows")
        return value

    def rest(self):
        return self.take(len(self.data) - self.at)

    def end(self):
        if self.at != len(self.data):
            raise ValueError("something stands after the end")


def hkdf(ikm, salt, info, size):
    """RFC 5869 with SHA-256, extract then expand."""
    key = hmac.digest(salt, ikm, "sha256")
    out, last = b"", b""
    for i in range(1, -(-size // 32) + 1):
        last = hmac.digest(key, last + info + bytes([i]), "sha256")
        out += last
    return out[:size]


def argon2id(password, salt, memory, passes, lanes):
    try:
        from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    except ImportError:
        from argon2.low_level import Type, hash_secret_raw

        return hash_secret_raw(password, salt, passes, memory, lanes, 64, Type.ID, 0x13)
    return Argon2id(salt=salt, length=64, iterations=passes, lanes=lanes, memory_cost=memory).derive(password)


def coded(text, what):
    """§4.3: the 32 bytes behind a printed code."""
    letters = [c for c in text.lower() if c != "-" and not c.isspace()]
    alphabet = "abcdefghjkmnpqrstuvwxyz023456789"
    if len(letters) != 56 or any(c not in alphabet for c in letters):
        raise Failure(WRONG_KEY, f"a {what} has 56 letters and digits, none of them i, l, o or 1")
    bits = 0
    for c in letters:
        bits = bits << 5 | alphabet.index(c)
    secret = (bits >> 24).to_bytes(32, "big")
    checksum = int.from_bytes(hashlib.sha256(b"backup.v1 " + what.encode() + secret).digest()[:3], "big") >> 4
    if bits & 0xFFFFFF != checksum:
        raise Failure(WRONG_KEY, f"the {what} has a typing error")
    return secret


def agreed(private, ephemeral):
    """§4.1: the X25519 secret of a private key and a slot's ephemeral public key, and the private key's public one."""
    key = X25519PrivateKey.from_private_bytes(private)
    return key.exchange(X25519PublicKey.from_public_bytes(ephemeral)), key.public_key().public_bytes_raw()


def open_sealed(key, nonce, aad, sealed):
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise ValueError("it does not open: its bytes were changed") from None


def identifier(text):
    if not isinstance(text, str) or not HEX_ID.match(text):
        raise ValueError("an identifier is not 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)


def moment(text):
    """Nanoseconds since 1970, and a form that sorts."""
    match = RFC_3339.match(text) if isinstance(text, str) else None
    if not match:
        raise ValueError("a time is not RFC 3339")
    day, clock, fraction, zone = match.groups()
    at = datetime.fromisoformat(f"{day}T{clock}+00:00")
    if zone not in "Zz":
        hours, minutes = zone[1:].split(":")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        at = at + offset if zone[0] == "-" else at - offset
    seconds = int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds * 10**9 + int(((fraction or "") + "0" * 9)[:9])


def payload_of(codec, stored, length, limit):
    if length > limit:
        raise ValueError("a payload is larger than allowed")
    if codec == 0:
        payload = stored
    elif codec == 1:
        try:
            payload = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(stored)).read(length + 1)
        except zstandard.ZstdError as error:
            raise ValueError(f"it does not decompress: {error}") from None
    else:
        raise ValueError(f"codec {codec} is not known")
    if len(payload) != length:
        raise ValueError("a payload is not as long as it says")
    return payload


def single_payload(plaintext):
    """§5: `codec ‖ varint length ‖ payload`."""
    cursor = Cursor(plaintext)
    codec, length = cursor.u8(), cursor.varint()
    return payload_of(codec, cursor.rest(), length, MAX_PAYLOAD)


def block_blobs(plaintext):
    """§6: `codec ‖ varint n ‖ n × varint length ‖ payload`, as a list of blobs."""
    cursor = Cursor(plaintext)
    codec, count = cursor.u8(), cursor.count(1)
    if not 1 <= count <= 65535:
        raise ValueError("a block has no blobs or too many")
    lengths = [cursor.varint() for _ in range(count)]
    payload = payload_of(codec, cursor.rest(), sum(lengths), MAX_BLOCK)
    blobs, at = [], 0
    for length in lengths:
        blobs.append(payload[at : at + length])
        at += length
    return blobs


# ---- §6 pack tables -------------------------------------------------------------------------------------------------

Block = collections.namedtuple("Block", "offset ordinal sealed halves lengths")


def pack_table(cursor):
    blocks, offset = [], 80
    for _ in range(cursor.count(3)):
        ordinal, sealed, count = cursor.varint(), cursor.varint(), cursor.count(17)
        halves = [cursor.take(16) for _ in range(count)]
        lengths = [cursor.varint() for _ in range(count)]
        blocks.append(Block(offset, ordinal, sealed, halves, lengths))
        offset += 12 + sealed
    return blocks


# What lies below a node: how many entries, the sum of their sizes, the first and the last path, and what the last one is.
Below = collections.namedtuple("Below", "entries size first last last_is_folder")


# ---- the repository -------------------------------------------------------------------------------------------------


class Cache(collections.OrderedDict):
    """Keeps the few things used last."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def get_or(self, key, make):
        if key in self:
            self.move_to_end(key)
        else:
            self[key] = make()
            if len(self) > self.size:
                self.popitem(last=False)
        return self[key]


class Repository:
    def __init__(self, folder, slot_types, secret):
        self.folder = folder
        self.damage = []
        self.packs_cached, self.blocks_cached = Cache(4), Cache(32)
        self.keys = sorted(self.scan())
        if "config" not in self.keys and self.packs() + self.named("index") + self.named("snapshots"):
            raise Damage("config", "it is gone: bring it back from a copy, or from the two lines in the recovery kit")
        if "config" not in self.keys:
            raise Failure(NO_REPOSITORY, f"{folder} holds no repository: there is no object `config`")
        line, mac = self.read_config()
        self.root = self.open_slots(slot_types, secret)
        if not hmac.compare_digest(hmac.digest(self.derived("config"), line, "sha256"), mac):
            raise Damage("config", "it was changed: its MAC is wrong")
        self.id_key = self.derived("blob-id")
        self.epochs = self.open_epochs()
        self.index = None

    def scan(self):
        for base, _, files in os.walk(self.folder):
            for name in files:
                yield os.path.relpath(os.path.join(base, name), self.folder).replace(os.sep, "/")

    def found(self, error):
        """Notes damage that does not stop the reading, once."""
        if str(error) not in self.damage:
            self.damage.append(str(error))
            print(f"damaged: {error}", file=sys.stderr)

    def each(self, pattern):
        """Keys of one shape, with the parts the shape names."""
        shape = re.compile(pattern + r"\Z")
        for key in self.keys:
            match = shape.match(key)
            if match:
                yield key, match

    def named(self, folder):
        return [key for key, _ in self.each(folder + "/[0-9a-f]{64}")]

    def packs(self):
        return [key for key, _ in self.each(r"packs/([0-9a-f]{2})/\1[0-9a-f]{62}")]

    def read(self, key):
        try:
            with open(os.path.join(self.folder, key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            raise Damage(key, "it is missing") from None

    def read_named(self, key):
        """§2: the last part of the key is the SHA-256 of the bytes."""
        data = self.read(key)
        if hashlib.sha256(data).hexdigest() != key.rsplit("/", 1)[1]:
            raise Damage(key, "its bytes are not the ones that were stored: the SHA-256 is not its name")
        return data

    # ---- §3 config, §4 keys

    def read_config(self):
        try:
            data = self.read("config")
            if len(data) > MAX_CONFIG:
                raise ValueError("it is too long")
            lines = data.split(b"\n")
            if len(lines) != 3 or lines[2]:
                raise ValueError("it is not two lines")
            config = json.loads(lines[0].decode("utf-8"))
            if not isinstance(config, dict) or config.get("format") != "backup-repository":
                raise ValueError("it is no repository's")
            if config.get("version") != 1:
                raise ValueError(f"its version is {config.get('version')!r} and this program reads version 1")
            self.rid = identifier(config.get("id"))
            # The MAC is 32 bytes in hexadecimal, as an identifier is.
            return lines[0], identifier(lines[1].decode("ascii"))
        except ValueError as error:
            raise Damage("config", str(error)) from None

    def derived(self, name):
        return hkdf(self.root, self.rid, b"backup.v1 " + name.encode(), 32)

    def key_objects(self, kind):
        for key in self.named("keys"):
            try:
                data = self.read_named(key)
                if data[:5] != b"BKUP\1" or len(data) < 6:
                    raise Damage(key, "it is no key object of version 1")
                if data[5] == kind:
                    if kind == SLOT:
                        self.check_slot(key, data)
                    elif len(data) != 160 or data[6:8] != bytes(2) or data[12:16] != bytes(4) or data[16:48] != self.rid:
                        raise Damage(key, "it is no epoch of this repository")
                    yield key, data
            except Damage as error:
                self.found(error)

    def check_slot(self, key, data):
        note = struct.unpack_from("<I", data, 168)[0] if len(data) >= 172 else None
        if note is None or note > 4096 or len(data) != 172 + note or data[20:24] != bytes(4):
            raise Damage(key, "it is no key slot")
        if data[24:56] != self.rid:
            raise Damage(key, "it belongs to another repository, or `config` was changed")

    def slot_keys(self, key, data, secret):
        """Key and commitment, as this secret derives them; None where this program can't."""
        memory, passes, lanes = struct.unpack_from("<III", data, 8)
        if data[7] == 1:
            if not (65536 <= memory <= 4194304 and 3 <= passes <= 64 and 1 <= lanes <= 64):
                raise Damage(key, "its Argon2id parameters are outside what is allowed")
            return argon2id(secret, data[56:88], memory, passes, lanes)
        if data[7] == 2 and (memory, passes, lanes) == (0, 0, 0):
            return hkdf(secret, data[56:88], b"backup.v1 slot" + self.rid, 64)
        if data[7] == 3 and (memory, passes, lanes) == (0, 0, 0):
            try:
                shared, public = agreed(secret, data[56:88])
            except ValueError as error:
                raise Damage(key, str(error)) from None
            return hkdf(shared, data[56:88] + public, b"backup.v1 escrow" + self.rid, 64)
        return None

    def open_slots(self, slot_types, secret):
        tried = 0
        for key, data in self.key_objects(SLOT):
            if data[6] not in slot_types:
                continue
            try:
                keys = self.slot_keys(key, data, secret)
            except Damage as error:
                self.found(error)
                continue
            if keys is None:
                continue
            tried += 1
            if not hmac.compare_digest(keys[32:], data[88:120]):
                continue
            try:
                root = open_sealed(keys[:32], bytes(12), data[:88], data[120:168])
                note_key = hkdf(root, data[56:88], b"backup.v1 slot-note" + self.rid, 32)
                open_sealed(note_key, bytes(12), data[:88], data[172:])
            except ValueError as error:
                self.found(Damage(key, str(error)))
                continue
            return root
        if self.damage:
            raise Failure(DAMAGED, "no sound key slot opens with this key")
        raise Failure(WRONG_KEY, f"the key opens none of the {tried} key slots of its kind")

    def open_epochs(self):
        epochs = collections.defaultdict(list)
        for key, data in self.key_objects(EPOCH):
            number = data[8:12]
            keys = hkdf(self.root, data[48:80], b"backup.v1 epoch" + self.rid + number, 64)
            try:
                if number == bytes(4):
                    raise ValueError("epochs count from 1")
                if not hmac.compare_digest(keys[32:], data[80:112]):
                    raise ValueError("it was not made with this repository's root key")
                epochs[number].append(open_sealed(keys[:32], bytes(12), data[:80], data[112:160]))
            except ValueError as error:
                self.found(Damage(key, str(error)))
        return epochs

    # ---- §5 sealed objects

    def object_key(self, key, data, kind):
        """The key that sealed the object, and what its frames' associated data begin with."""
        if len(data) < 80 or data[:4] != b"BKUP":
            raise Damage(key, "it has no header")
        if data[4] != 1 or data[5] != kind or data[6] != 1 or data[7] != 0 or data[12:16] != bytes(4):
            raise Damage(key, "its header is of another version or kind")
        for epoch in self.epochs.get(data[8:12], []):
            keys = hkdf(epoch, data[16:48], b"backup.v1 object" + self.rid + data[4:16], 64)
            if hmac.compare_digest(keys[32:], data[48:80]):
                return keys[:32], self.rid + data[4:16]
        raise Damage(key, f"no key of epoch {struct.unpack('<I', data[8:12])[0]} opens it")

    def open_frame(self, key, data, offset, magic, sealing):
        """The ordinal, the plaintext and the end of the frame at `offset`."""
        if data[offset : offset + 4] != magic or offset + 12 > len(data):
            raise Damage(key, f"there is no {magic.decode()} frame at {offset}")
        ordinal, length = struct.unpack_from("<II", data, offset + 4)
        end = offset + 12 + length
        if end > len(data):
            raise Damage(key, f"the frame at {offset} is cut off")
        secret, aad = sealing
        role = b"\0" if magic == b"BLK1" else b"\1"
        try:
            nonce = struct.pack("<I", ordinal) + bytes(8)
            plaintext = open_sealed(secret, nonce, aad + struct.pack("<I", ordinal) + role, data[offset + 12 : end])
        except ValueError as error:
            raise Damage(key, f"frame at {offset}: {error}") from None
        return ordinal, plaintext, end

    def payload(self, key, kind, named=True):
        """The payload of an object that has one frame."""
        data = self.read_named(key) if named else self.read(key)
        ordinal, plaintext, end = self.open_frame(key, data, 80, b"BLK1", self.object_key(key, data, kind))
        try:
            if ordinal != 0 or end != len(data):
                raise ValueError("it has more than one frame")
            return single_payload(plaintext)
        except ValueError as error:
            raise Damage(key, str(error)) from None

    def document(self, key, kind, named=True):
        try:
            value = json.loads(self.payload(key, kind, named).decode("utf-8"))
            if not isinstance(value, dict):
                raise ValueError("it is not a JSON object")
            return value
        except ValueError as error:
            raise Damage(key, str(error)) from None

    # ---- §6 packs, §7 index

    def pack(self, key):
        """The bytes of a pack whose name was checked, its kind and its sealing."""

        def load():
            data = self.read_named(key)
            kind = data[5] if len(data) > 5 and data[5] == TREE_PACK else DATA_PACK
            return data, kind, self.object_key(key, data, kind)

        return self.packs_cached.get_or(key, load)

    def footer(self, key):
        data, _, sealing = self.pack(key)
        if len(data) < 88 or data[-4:] != b"BEND":
            raise Damage(key, "it has no footer")
        start = len(data) - 8 - struct.unpack_from("<I", data, len(data) - 8)[0]
        if start < 80:
            raise Damage(key, "its footer is longer than itself")
        ordinal, plaintext, end = self.open_frame(key, data, start, b"FTR1", sealing)
        try:
            if end != len(data) - 8:
                raise ValueError("its footer does not end where it should")
            cursor = Cursor(single_payload(plaintext))
            blocks = pack_table(cursor)
            cursor.end()
        except ValueError as error:
            raise Damage(key, str(error)) from None
        if start != (blocks[-1].offset + 12 + blocks[-1].sealed if blocks else 80):
            raise Damage(key, "its footer does not describe its blocks")
        return blocks, ordinal

    def load_index(self):
        """Half of a blob id → where the blob is, from the index objects that none replaces."""
        replaced, parts = set(), []
        for key in self.named("index"):
            try:
                cursor = Cursor(self.payload(key, INDEX))
                replaced.update(cursor.take(32).hex() for _ in range(cursor.count(32)))
                packs = []
                for _ in range(cursor.count(35)):
                    pack, kind, size = cursor.take(32).hex(), cursor.u8(), cursor.varint()
                    if kind not in (DATA_PACK, TREE_PACK):
                        raise ValueError("a pack is of no known kind")
                    packs.append((f"packs/{pack[:2]}/{pack}", kind, size, pack_table(cursor)))
                cursor.end()
                parts.append((key, packs))
            except ValueError as error:
                self.found(Damage(key, str(error)))
            except Damage as error:
                self.found(error)
        self.index, self.indexed = collections.defaultdict(list), {}
        for key, packs in parts:
            if key.rsplit("/", 1)[1] not in replaced:
                for pack, kind, size, blocks in packs:
                    self.add_pack(pack, kind, size, blocks)
        # What no index object names is found through the packs themselves.
        for key in self.packs():
            if key not in self.indexed:
                try:
                    self.add_pack(key, self.pack(key)[1], len(self.pack(key)[0]), self.footer(key)[0])
                except Damage as error:
                    self.found(error)

    def add_pack(self, key, kind, size, blocks):
        if key in self.indexed:
            return
        self.indexed[key] = (kind, size, blocks)
        for block in blocks:
            for at, half in enumerate(block.halves):
                self.index[half].append((key, kind, block, at))

    def block(self, key, kind, block):
        def load():
            data, stored, sealing = self.pack(key)
            if stored != kind:
                raise Damage(key, "it is of another kind than the index says")
            ordinal, plaintext, _ = self.open_frame(key, data, block.offset, b"BLK1", sealing)
            try:
                blobs = block_blobs(plaintext)
            except ValueError as error:
                raise Damage(key, f"block at {block.offset}: {error}") from None
            if ordinal != block.ordinal or [len(blob) for blob in blobs] != block.lengths:
                raise Damage(key, f"block at {block.offset}: it is not the one that the table describes")
            return blobs

        return self.blocks_cached.get_or((key, block.offset), load)

    def blob_id(self, kind, digest):
        """§6.1, from the SHA-256 of the plaintext."""
        return hmac.digest(self.id_key, bytes([kind]) + digest, "sha256")

    def blob(self, wanted, kind, length=None):
        """A blob's bytes: whole id checked, every known copy tried."""
        if self.index is None:
            self.load_index()
        last = None
        for key, pack_kind, block, at in self.index.get(wanted[:16], []):
            if (pack_kind == DATA_PACK) != (kind == CONTENT):
                continue
            try:
                data = self.block(key, pack_kind, block)[at]
                if self.blob_id(kind, hashlib.sha256(data).digest()) != wanted:
                    raise Damage(key, f"blob {wanted.hex()[:12]}: its bytes do not give its id")
                if length is not None and len(data) != length:
                    raise Damage(key, f"blob {wanted.hex()[:12]}: its length is wrong")
                return data
            except Damage as error:
                self.found(error)
                last = error
        raise last or Damage(f"blob {wanted.hex()}", "no pack holds it")

    # ---- §8 snapshots, §9 marks

    def snapshots(self):
        marks = {}
        for key in self.named("marks"):
            try:
                mark = self.document(key, MARK)
                rank = (moment(mark.get("at")), key)
                target = identifier(mark.get("snapshot")).hex()
                if target not in marks or marks[target][0] < rank:
                    marks[target] = (rank, mark)
            except ValueError as error:
                self.found(Damage(key, str(error)))
            except Damage as error:
                self.found(error)
        out = []
        for key in self.named("snapshots"):
            try:
                snapshot = self.document(key, SNAPSHOT)
                if snapshot.get("version") != 1:
                    raise ValueError(f"its version is {snapshot.get('version')!r}")
                tree = snapshot["tree"]
                snapshot["key"], snapshot["at"] = key, moment(snapshot.get("time"))
                snapshot["root"] = (identifier(tree["id"]), int(tree["level"]), int(tree["entries"]), int(tree["bytes"]))
                mark = marks.get(key.rsplit("/", 1)[1], (None, {}))[1]
                snapshot["tags"] = mark.get("tags", snapshot.get("tags") or [])
                snapshot["pinned"] = bool(mark.get("pinned"))
                out.append(snapshot)
            except (ValueError, KeyError, TypeError) as error:
                self.found(Damage(key, f"it is not a snapshot: {error}"))
            except Damage as error:
                self.found(error)
        return sorted(out, key=lambda s: (s["at"], s["key"]))

    def snapshot(self, name):
        snapshots = self.snapshots()
        if name == "latest":
            if not snapshots:
                raise Failure(FAILED, "the repository has no snapshot that can be read")
            return snapshots[-1]
        hits = [s for s in snapshots if name and s["key"].startswith("snapshots/" + name)]
        if len(hits) != 1:
            raise Failure(FAILED, f"{name}: {len(hits)} snapshots begin like this")
        return hits[0]

    # ---- §8.1 trees

    def leaves(self, tree, seen=None):
        """Each leaf's entries, in order.

        A damaged node is noted and the rest goes on. What lies below a node in `seen` is left out, and every node that was
        found sound is added to it.
        """
        wanted, level, entries, size = tree
        found = yield from self.node(wanted, level, seen)
        if found and (found.entries, found.size) != (entries, size):
            raise Damage(f"blob {wanted.hex()}", "the snapshot says that the tree holds another number of entries or bytes")

    def node(self, wanted, level, seen):
        if seen is not None and wanted in seen:
            return seen[wanted]
        name = f"blob {wanted.hex()}"
        sound = True
        try:
            data = self.blob(wanted, NODE)
            if level == 0:
                entries = decode_leaf(data)
                check_order(entries)
                yield entries
                parts = [Below(1, e.size, e.path, e.path, e.kind == DIRECTORY) for e in entries]
            else:
                parts = []
                for child, count, size, path in decode_inner(data, level):
                    part = yield from self.node(child, level - 1, seen)
                    if part and (part.entries, part.size, part.first) != (count, size, path):
                        raise ValueError("it does not describe its children")
                    sound = sound and part is not None
                    parts.append(part)
                if sound:
                    for one, next_one in itertools.pairwise(parts):
                        check_neighbours(one.last, one.last_is_folder, next_one.first)
        except Damage as error:
            self.found(error)
            return None
        except ValueError as error:
            self.found(Damage(name, f"it is no sound tree node: {error}"))
            return None
        if not sound:
            return None
        first, last = (parts[0], parts[-1]) if parts else (Below(0, 0, None, None, True),) * 2
        size = min(sum(part.size for part in parts), (1 << 64) - 1)
        below = Below(sum(part.entries for part in parts), size, first.first, last.last, last.last_is_folder)
        if seen is not None:
            seen[wanted] = below
        return below

    def entries(self, tree):
        """All entries of a snapshot in canonical order."""
        for entries in self.leaves(tree):
            yield from entries

    # ---- content

    def content_blobs(self, form, parts):
        """Ids and lengths of the content blobs, in order."""
        if form == 1:
            yield from parts
            return
        for wanted, length in parts:
            try:
                cursor = Cursor(self.blob(wanted, CHUNK_LIST))
                below = cursor.varint()
                if below != form - 1:
                    raise ValueError("its form is not one below")
                inner = chunk_list(cursor)
                cursor.end()
                if sum(part[1] for part in inner) != length:
                    raise ValueError("its parts have another length")
            except ValueError as error:
                raise Damage(f"blob {wanted.hex()}", f"it is not a chunk list: {error}") from None
            yield from self.content_blobs(below, inner)

    def content(self, entry):
        """The file's content in pieces; raises at the end when the digest is wrong."""
        if entry.size == 0:
            return
        expected = content_size(entry)
        if entry.form == 0:
            blobs = [(self.blob_id(CONTENT, entry.digest), expected)]
        else:
            blobs = self.content_blobs(entry.form, entry.parts)
        digest, total = hashlib.sha256(), 0
        for wanted, length in blobs:
            data = self.blob(wanted, CONTENT, length)
            digest.update(data)
            total += length
            yield data
        if total != expected or digest.digest() != entry.digest:
            raise Damage(f"content of {printable(entry.path)}", "it does not give the SHA-256 that the snapshot holds")


class Entry:
    __slots__ = (
        *("path", "kind", "torn", "racy", "attributes", "mtime", "ctime", "inode", "links", "size"),
        *("form", "parts", "digest", "target", "major", "minor", "extents", "xattrs"),
    )


def content_size(entry):
    if entry.kind != FILE:
        return 0
    return entry.size if entry.extents is None else sum(length for _, length in entry.extents)


def canonical(path):
    """A form whose byte order is the canonical order: no path holds a zero byte."""
    return path.replace(b"/", b"\0")


def check_path(path):
    if b"\0" in path or any(part in (b"", b".", b"..") for part in path.split(b"/")):
        raise ValueError(f"the path {path!r} is not allowed")
    return path


def check_neighbours(before, before_is_folder, path):
    if canonical(before) >= canonical(path):
        raise ValueError(f"{printable(path)} is out of order")
    if not before_is_folder and path.startswith(before + b"/"):
        raise ValueError(f"{printable(path)} lies below what is no directory")


def check_order(entries):
    for one, next_one in itertools.pairwise(entries):
        check_neighbours(one.path, one.kind == DIRECTORY, next_one.path)


def chunk_list(cursor):
    return [(cursor.take(32), cursor.varint()) for _ in range(cursor.count(33))]


def join_path(shared, rest, before):
    if shared > len(before):
        raise ValueError("a path shares more than there is")
    return check_path(before[:shared] + rest)


def decode_inner(data, level):
    cursor = Cursor(data)
    if cursor.u8() != level:
        raise ValueError("its level is another")
    children, before = [], b""
    for _ in range(cursor.count(36)):
        wanted, entries, size = cursor.take(32), cursor.varint(), cursor.varint()
        path = join_path(cursor.varint(), cursor.bytes(), before)
        children.append((wanted, entries, size, path))
        before = path
    cursor.end()
    if not children:
        raise ValueError("it has no children")
    return children


def decode_leaf(data):
    cursor = Cursor(data)
    if cursor.u8() != 0:
        raise ValueError("its level is not 0")
    count = cursor.count(1)
    columns = [Cursor(cursor.bytes()) for _ in range(16)]
    cursor.end()
    shared, lengths, rests, kinds, attributes, table, seconds, subseconds, changed, changed_ns = columns[:10]
    inodes, links, sizes, content, digests, rest = columns[10:]
    modes = []
    for _ in range(table.count(6)):
        modes.append((table.varint(), table.varint(), table.varint(), table.varint(), table.bytes(), table.bytes()))
    entries, path, mtime, ctime, inode = [], b"", 0, 0, 0
    for _ in range(count):
        entry = Entry()
        path = entry.path = join_path(shared.varint(), rests.take(lengths.varint()), path)
        bits = kinds.u8()
        entry.kind, entry.torn, entry.racy = bits & 15, bool(bits & 16), bool(bits & 32)
        if not FILE <= entry.kind <= BLOCK_DEVICE:
            raise ValueError(f"kind {entry.kind} is not known")
        if entry.kind == DIRECTORY:
            # How much of the directory the snapshot has; of no use to a reader that removes nothing.
            if bits & 80 == 80:
                raise ValueError("a directory can't be whole and a lead-in")
            entry.torn, bits = False, bits & ~80
        at = attributes.varint()
        if at >= len(modes):
            raise ValueError("an entry names attributes that are not there")
        entry.attributes = modes[at]
        mtime, ctime = signed(mtime + seconds.zigzag()), signed(ctime + changed.zigzag())
        entry.mtime, entry.ctime = (mtime, subseconds.varint()), (ctime, changed_ns.varint())
        if max(entry.mtime[1], entry.ctime[1]) >= 10**9:
            raise ValueError("a second has a thousand million nanoseconds")
        inode = entry.inode = (inode + inodes.zigzag()) % (1 << 64)
        entry.links = links.varint()
        entry.size, entry.form, entry.parts, entry.digest = 0, None, None, None
        if entry.kind == FILE:
            entry.size = sizes.varint()
            if entry.size > 0:
                entry.form = content.varint()
                entry.parts = chunk_list(content) if entry.form > 0 else None
                entry.digest = digests.take(32)
        entry.target = rest.bytes() if entry.kind == SYMLINK else None
        entry.major = entry.minor = entry.extents = None
        if entry.kind in (CHARACTER_DEVICE, BLOCK_DEVICE):
            entry.major, entry.minor = rest.varint(), rest.varint()
        if bits & 64:
            if entry.kind != FILE:
                raise ValueError("what is no file has extents")
            entry.extents, end = [], 0
            for _ in range(rest.count(2)):
                start = end + rest.varint()
                end = start + rest.varint()
                entry.extents.append((start, end - start))
                if end == start or end > entry.size:
                    raise ValueError("an extent is empty or lies outside its file")
        entry.xattrs = [(rest.bytes(), rest.bytes()) for _ in range(rest.count(2))] if bits & 128 else []
        entries.append(entry)
    for column in columns:
        column.end()
    return entries


def signed(value):
    value %= 1 << 64
    return value - (1 << 64) if value >> 63 else value


# ---- restore --------------------------------------------------------------------------------------------------------


class Target:
    """A folder in which everything is reached step by step from its own handle, never through a symbolic link."""

    def __init__(self, path):
        os.makedirs(path, exist_ok=True)
        self.handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        if os.listdir(self.handle):
            raise Failure(FAILED, f"{path} is not empty")
        # The first path of each group of hard links.
        self.links = {}

    def parent(self, path):
        """A handle on the folder that holds `path`, to be closed by the caller, and the last name. Makes what is missing."""
        *folders, name = check_path(path).split(b"/")
        handle = os.dup(self.handle)
        for folder in folders:
            try:
                try:
                    below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
                except FileNotFoundError:
                    os.mkdir(folder, 0o700, dir_fd=handle)
                    below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            finally:
                os.close(handle)
            handle = below
        return handle, name


def write_content(repository, entry, file):
    extents = iter([(0, entry.size)] if entry.extents is None else entry.extents)
    at = left = 0
    for data in repository.content(entry):
        view = memoryview(data)
        while view:
            while left == 0:
                at, left = next(extents, (None, None))
                if at is None:
                    raise Damage(f"content of {printable(entry.path)}", "it is longer than its extents")
            step = os.pwrite(file, view[:left], at)
            view, at, left = view[step:], at + step, left - step
    os.ftruncate(file, entry.size)


def restore_file(repository, entry, target, handle, name):
    group = (entry.attributes[3], entry.inode, entry.size, entry.digest)
    if entry.links > 1 and group in target.links:
        other, other_name = target.parent(target.links[group])
        try:
            os.link(other_name, name, src_dir_fd=other, dst_dir_fd=handle, follow_symlinks=False)
        finally:
            os.close(other)
        return
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=handle)
    try:
        write_content(repository, entry, file)
        os.fchmod(file, entry.attributes[0] & 0o1777)
        os.utime(file, ns=(nanoseconds(entry.mtime), nanoseconds(entry.mtime)))
    except BaseException:
        # Wrong bytes never stay under a right name.
        os.unlink(name, dir_fd=handle)
        raise
    finally:
        os.close(file)
    if entry.links > 1:
        target.links[group] = entry.path


def restore(repository, snapshot, path):
    target = Target(path)
    folders, failed, restored, skipped = [], 0, 0, 0
    for entry in repository.entries(snapshot["root"]):
        try:
            handle, name = target.parent(entry.path)
            try:
                if entry.kind == FILE:
                    restore_file(repository, entry, target, handle, name)
                elif entry.kind == DIRECTORY:
                    os.mkdir(name, 0o700, dir_fd=handle)
                    folders.append(entry)
                elif entry.kind == SYMLINK:
                    os.symlink(entry.target, name, dir_fd=handle)
                    os.utime(name, ns=(nanoseconds(entry.mtime),) * 2, dir_fd=handle, follow_symlinks=False)
                elif entry.kind == FIFO:
                    os.mkfifo(name, entry.attributes[0] & 0o777, dir_fd=handle)
                    os.utime(name, ns=(nanoseconds(entry.mtime),) * 2, dir_fd=handle, follow_symlinks=False)
                else:
                    print(f"skipped: {printable(entry.path)}: sockets and devices are not restored", file=sys.stderr)
                    skipped += 1
                    continue
                restored += 1
            finally:
                os.close(handle)
        except Damage as error:
            repository.found(error)
            print(f"not restored: {printable(entry.path)}: {error}", file=sys.stderr)
            failed += 1
        except OSError as error:
            print(f"not restored: {printable(entry.path)}: {error.strerror}", file=sys.stderr)
            failed += 1
    # Last, because a folder's time changes with what is put into it, and its mode may forbid that.
    for entry in reversed(folders):
        handle, name = target.parent(entry.path)
        try:
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            try:
                os.fchmod(folder, entry.attributes[0] & 0o1777)
                os.utime(folder, ns=(nanoseconds(entry.mtime),) * 2)
            finally:
                os.close(folder)
        finally:
            os.close(handle)
    print(f"restored {restored} entries of {snapshot['key']}, skipped {skipped}, failed {failed}")
    return FAILED if failed else 0


def nanoseconds(time):
    return time[0] * 10**9 + time[1]


# ---- verify ---------------------------------------------------------------------------------------------------------


def verify_pack(key, repository, known):
    """Opens every frame, and adds the whole id of every blob to `known`."""
    data, kind, _ = repository.pack(key)
    blocks, footer_ordinal = repository.footer(key)
    ordinals = {footer_ordinal}
    for block in blocks:
        try:
            blobs = repository.block(key, kind, block)
            if block.ordinal in ordinals:
                raise Damage(key, f"ordinal {block.ordinal} stands twice")
            ordinals.add(block.ordinal)
            for blob, half in zip(blobs, block.halves, strict=True):
                digest = hashlib.sha256(blob).digest()
                # A pack does not say of which type a blob is; in a tree pack it is a node or a chunk list.
                ids = [repository.blob_id(t, digest) for t in ((CONTENT,) if kind == DATA_PACK else (NODE, CHUNK_LIST))]
                whole = [wanted for wanted in ids if wanted[:16] == half]
                if not whole:
                    raise Damage(key, f"block at {block.offset}: a blob's bytes do not give its id")
                known[whole[0]] = len(blob)
        except Damage as error:
            repository.found(error)
    if key in repository.indexed and repository.indexed[key] != (kind, len(data), blocks):
        raise Damage(key, "the index describes it otherwise than its footer")


def verify_file(entry, repository, known):
    if entry.size == 0:
        return
    if entry.form == 0:
        # The id is a keyed hash of the digest, and the blob was found to have it.
        if known.get(repository.blob_id(CONTENT, entry.digest)) != content_size(entry):
            raise Damage(f"content of {printable(entry.path)}", "its blob is missing or has another length")
        return
    for _ in repository.content(entry):
        pass


def verify(repository):
    repository.load_index()
    known, seen, checked = {}, {}, collections.Counter()

    def attempt(what, check, key, *arguments):
        checked[what] += 1
        try:
            check(key, *arguments)
        except Damage as error:
            repository.found(error)

    def session(key, match):
        document = repository.document(key, SESSION, named=False)
        if document.get("session") != match[1] or document.get("sequence") != int(match[2]):
            raise Damage(key, "it stands under another session's name")

    def tree(_, snapshot):
        for entries in repository.leaves(snapshot["root"], seen):
            for entry in entries:
                if entry.kind == FILE:
                    attempt("files", verify_file, entry, repository, known)

    for key in repository.packs():
        attempt("packs", verify_pack, key, repository, known)
    for key in repository.indexed:
        if key not in repository.keys:
            repository.found(Damage(key, "the index names it and it is missing"))
    snapshots = repository.snapshots()
    for key in repository.named("verify"):
        attempt("verification records", repository.document, key, VERIFY)
    for key, match in repository.each(r"sessions/([0-9a-f]{32})/([0-9]{8})"):
        attempt("session objects", session, key, match)
    for snapshot in snapshots:
        attempt("snapshots", tree, snapshot["key"], snapshot)
    parts = ", ".join(f"{count} {what}" for what, count in checked.items())
    print(f"verified {parts or 'nothing'}: {'DAMAGED' if repository.damage else 'sound'}")
    return 0


# ---- the command line -----------------------------------------------------------------------------------------------


def printable(path):
    """A path as one line of text: bytes that are no printable UTF-8 are shown as escapes."""
    text = path.decode("utf-8", "surrogateescape")
    return "".join(
        c if c.isprintable() and c != "\\" else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c)) for c in text
    )


def json_path(value):
    if isinstance(value, str):
        return value
    try:
        return printable(base64.b64decode(value["base64"], validate=True))
    except (TypeError, KeyError, binascii.Error):
        return "?"


def list_snapshots(repository):
    for snapshot in repository.snapshots():
        roots = " ".join(json_path(root) for root in snapshot.get("source", {}).get("roots", []))
        _, _, entries, size = snapshot["root"]
        tags = ",".join(snapshot["tags"]) + (" pinned" if snapshot["pinned"] else "")
        host = str(snapshot.get("host", ""))
        print("\t".join([snapshot["key"][10:22], snapshot["time"], str(entries), str(size), host, roots, tags]))
    return 0


def list_entries(repository, snapshot):
    for entry in repository.entries(snapshot["root"]):
        kind = "?-dlpscb"[entry.kind]
        mode = stat.filemode(entry.attributes[0] & 0o7777)[1:]
        time = datetime(1970, 1, 1) + timedelta(seconds=entry.mtime[0]) if abs(entry.mtime[0]) < 6e10 else "-"
        arrow = f" -> {printable(entry.target)}" if entry.kind == SYMLINK else ""
        print(f"{kind}{mode} {entry.size:>12} {time} {printable(entry.path)}{arrow}")
    return 0


def from_environment(name):
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise Failure(USAGE, f"the environment has no variable {name}")
    return value


def key_of(arguments):
    """The types of the slots that may open, and the secret."""
    if arguments.key_file:
        with open(arguments.key_file, "rb") as file:
            return (KEY_FILE, KEYRING), file.read()
    if arguments.escrow_key_file:
        with open(arguments.escrow_key_file, encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if not line.lstrip().startswith("#")]
        return (ESCROW,), coded("".join(lines), "escrow private key")
    if arguments.recovery_code_env:
        return (RECOVERY_KIT,), coded(from_environment(arguments.recovery_code_env).decode("utf-8", "replace"), "recovery code")
    if arguments.password_env:
        return (PASSWORD,), from_environment(arguments.password_env)
    return (PASSWORD,), getpass.getpass("Password: ").encode()


def run(arguments):
    slot_types, secret = key_of(arguments)
    if not os.path.isdir(arguments.repository):
        raise Failure(NO_REPOSITORY, f"{arguments.repository} is not a folder")
    repository = Repository(arguments.repository, slot_types, secret)
    if arguments.command == "list":
        code = list_snapshots(repository)
    elif arguments.command == "verify":
        code = verify(repository)
    else:
        snapshot = repository.snapshot(arguments.snapshot)
        if arguments.command == "ls":
            code = list_entries(repository, snapshot)
        else:
            code = restore(repository, snapshot, arguments.target)
    return DAMAGED if repository.damage else code


def main():
    parser = argparse.ArgumentParser(description="Reads a backup repository without the program that wrote it.")
    parser.add_argument("repository", metavar="REPO")
    keys = parser.add_mutually_exclusive_group()
    keys.add_argument("--password-env", metavar="VARIABLE", help="the environment variable that holds the password")
    keys.add_argument("--recovery-code-env", metavar="VARIABLE", help="the one that holds the code of the recovery kit")
    keys.add_argument("--key-file", metavar="FILE", help="the key file")
    keys.add_argument("--escrow-key-file", metavar="FILE", help="the file with a private key that was kept elsewhere")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the snapshots")
    commands.add_parser("verify", help="read and check everything")
    commands.add_parser("ls", help="list the entries of a snapshot").add_argument("snapshot")
    restoring = commands.add_parser("restore", help="write a snapshot's entries into an empty folder")
    restoring.add_argument("snapshot")
    restoring.add_argument("target")
    try:
        return run(parser.parse_args())
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return failure.code
    except Damage as damage:
        print(f"damaged: {damage}", file=sys.stderr)
        return DAMAGED
    except BrokenPipeError:
        # Whoever reads the listing has seen enough. What is still buffered would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
