#!/usr/bin/env python3
"""Writes crates/protobuf/src/numbers.txt: the protobuf field numbers of built-in kinds.

Usage: protobuf-numbers.py KUBECTL [K8S_PB]

KUBECTL is a kubectl for linux/amd64 of the Kubernetes version that the server poses as. Go keeps the
structs that a program reflects on in it, with the tags of their fields; those tell for each field its
name in JSON, its number on the wire, and what no .proto file tells: whether the field is a pointer, so
that a zero is a value, and whether JSON leaves a zero out. K8S_PB is the source folder of the crate
k8s-pb: where it has the field too, its number has to be the same.
"""

import functools
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = ROOT / "crates/protobuf/src/numbers.txt"

META = "k8s.io/apimachinery/pkg/apis/meta/v1"
PACKAGES = [META] + [
    f"k8s.io/api/{group}"
    for group in (
        "admissionregistration/v1",
        "apps/v1",
        "authentication/v1",
        "authorization/v1",
        "autoscaling/v1",
        "autoscaling/v2",
        "batch/v1",
        "certificates/v1",
        "coordination/v1",
        "core/v1",
        "discovery/v1",
        "events/v1",
        "flowcontrol/v1",
        "networking/v1",
        "node/v1",
        "policy/v1",
        "rbac/v1",
        "scheduling/v1",
        "storage/v1",
    )
]

# kubectl does not know these groups' structs. CustomResourceDefinition's schemas are in schema_props.rs.
BY_HAND = """
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceColumnDefinition name=1* type=2* format=3 description=4 priority=5 jsonPath=6*
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceConversion strategy=1* webhook=2
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition metadata=1 spec=2 status=3
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionCondition type=1* status=2* lastTransitionTime=3 reason=4 message=5 observedGeneration=6
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionNames plural=1* singular=2 shortNames=3 kind=4* listKind=5 categories=6
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec group=1* names=3 scope=4* versions=7 conversion=9 preserveUnknownFields=10
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus conditions=1 acceptedNames=2 storedVersions=3 observedGeneration=4
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion name=1* served=2* storage=3* schema=4 subresources=5 additionalPrinterColumns=6 deprecated=7 deprecationWarning=8* selectableFields=9
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceScale specReplicasPath=1* statusReplicasPath=2* labelSelectorPath=3*
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresources status=1 scale=2
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceValidation openAPIV3Schema=1s
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.SelectableField jsonPath=1*
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ServiceReference namespace=1* name=2* path=3* port=4*
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookClientConfig service=1 caBundle=2 url=3*
io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookConversion clientConfig=2 conversionReviewVersions=3
io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService metadata=1 spec=2 status=3
io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceCondition type=1* status=2* lastTransitionTime=3 reason=4 message=5
io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec service=1 group=2 version=3 insecureSkipTLSVerify=4 caBundle=5 groupPriorityMinimum=7* versionPriority=8*
io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceStatus conditions=1
io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.ServiceReference namespace=1 name=2 port=3*
"""

HEADER = """\
# Written by scripts/protobuf-numbers.py. The protobuf field numbers of built-in kinds: a definition on
# each line, then its fields as NAME=NUMBER and marks:
#   *  a zero is a value (a pointer in Go, or a field that JSON always has)
#   u  a time in microseconds
#   s  a JSONSchemaProps, whose numbers are in schema_props.rs
#   <  the message's fields are the object's own; NAME is the message's definition
"""

# Messages that are not objects in JSON.
SPECIAL = {(META, "FieldsV1"), (META, "MicroTime"), (META, "Time")}

# Go's kinds of types, and the fixed part of a type's description.
BOOL, FLOAT64, MAP, POINTER, SLICE, STRING, STRUCT = 1, 14, 21, 22, 23, 24, 25
INTEGERS = (2, 5, 6, 8, 10, 11)
TYPE_SIZE = 48


class Binary:
    """The types in a Go program: an ELF file, 64 bits, little-endian."""

    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        sections, = struct.unpack_from("<Q", self.data, 40)
        count, names = struct.unpack_from("<HH", self.data, 60)
        rows = [struct.unpack_from("<IIQQQQ", self.data, sections + 64 * i) for i in range(count)]
        self.sections = {}
        for name, _, _, address, offset, size in rows:
            start = rows[names][4] + name
            end = self.data.index(b"\0", start)
            self.sections[self.data[start:end].decode()] = (address, offset, size)
        self.base = self.sections[".rodata"][0]

    def offset(self, address):
        for name, (start, offset, size) in self.sections.items():
            if start and start <= address < start + size and not name.endswith("bss"):
                return address - start + offset
        raise ValueError(f"no section holds {address:#x}")

    def read(self, form, address):
        return struct.unpack_from(form, self.data, self.offset(address))[0]

    def text(self, offset):
        length = shift = 0
        while True:
            byte = self.data[offset]
            offset += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return self.data[offset : offset + length].decode(), offset + length

    def name(self, address):
        """A name, its tag, and whether the field is embedded."""
        start = self.offset(address)
        flags = self.data[start]
        name, end = self.text(start + 1)
        tag = self.text(end)[0] if flags & 2 else ""
        return name, tag, bool(flags & 8)

    def kind(self, address):
        return self.read("<B", address + 23) & 31

    def element(self, address):
        return self.read("<Q", address + (TYPE_SIZE + 8 if self.kind(address) == MAP else TYPE_SIZE))

    @functools.cache
    def full_name(self, address):
        """The package and the name of a named type."""
        flags = self.read("<B", address + 20)
        if not flags & 4:
            return None
        name = self.name(self.base + self.read("<i", address + 40))[0].lstrip("*").rsplit(".", 1)[-1]
        if not flags & 1:
            return "", name
        extra = {STRUCT: 32, POINTER: 8, SLICE: 8}.get(self.kind(address), 0)
        if self.kind(address) not in (STRUCT, SLICE):
            return "", name
        package = self.read("<i", address + TYPE_SIZE + extra)
        return (self.name(self.base + package)[0] if package else ""), name

    def fields(self, address):
        """The name, tag, embedding and type of each field of a struct."""
        start, = struct.unpack_from("<Q", self.data, self.offset(address + TYPE_SIZE + 8))
        for i in range(self.read("<Q", address + TYPE_SIZE + 16)):
            yield *self.name(self.read("<Q", start + 24 * i)), self.read("<Q", start + 24 * i + 8)

    def structs(self):
        """The named structs that the program has pointers to, by package and name."""
        _, offset, size = self.sections[".typelink"]
        found = {}
        for link in struct.unpack_from(f"<{size // 4}i", self.data, offset):
            address = self.base + link
            while self.kind(address) in (POINTER, SLICE, MAP):
                address = self.element(address)
            if self.kind(address) == STRUCT and (name := self.full_name(address)):
                found[name] = address
        return found


def definition(name):
    package, kind = name
    return f"{package.replace('k8s.io/', 'io.k8s.').replace('/', '.')}.{kind}"


def field(binary, name, tag, embedded, address):
    """The word for a field, and the struct that it leads to."""
    number = re.search(r'protobuf:"[a-z0-9]+,(\d+)', tag)
    json = re.search(r'json:"([^",]*)([^"]*)"', tag)
    if not number or not json or json[1] == "-":
        return None, None
    pointer = binary.kind(address) == POINTER
    if pointer:
        address = binary.element(address)
    scalar = binary.kind(address) in (BOOL, FLOAT64, STRING, *INTEGERS)
    word = ""
    if scalar and (pointer or "omitempty" not in json[2]):
        word += "*"
    if binary.kind(address) == SLICE and binary.kind(binary.element(address)) == 8 and "omitempty" not in json[2]:
        word += "*"
    inner = address
    while binary.kind(inner) in (SLICE, MAP, POINTER):
        inner = binary.element(inner)
    target = binary.full_name(inner) if binary.kind(inner) == STRUCT else None
    if target and target[1] == "MicroTime":
        word += "u"
    if embedded and not json[1]:
        return f"{definition(target)}={number[1]}<", target
    return f"{json[1]}={number[1]}{word}", target


def extract(binary):
    """The lines of the table, by definition."""
    structs = {name: at for name, at in binary.structs().items() if name[0].startswith(("k8s.io/api/", META))}
    waiting = []
    for name, address in structs.items():
        if name[0] not in PACKAGES:
            continue
        embeds = any(e and binary.full_name(t) == (META, "TypeMeta") for _, _, e, t in binary.fields(address))
        if (embeds and not name[1].endswith("List")) or name == (META, "LabelSelector"):
            waiting.append(name)
    lines = {}
    while waiting:
        name = waiting.pop()
        if definition(name) in lines or name not in structs or name in SPECIAL:
            continue
        words = []
        for parts in binary.fields(structs[name]):
            word, target = field(binary, *parts)
            if word:
                words.append(word)
                if target:
                    waiting.append(target)
        lines[definition(name)] = words
    return lines


def check(lines, source):
    """Compares with k8s-pb, whose names differ in case and in underscores only."""
    plain = lambda name: name.removeprefix("r#").replace("_", "").lower()
    compared = wrong = 0
    for path in pathlib.Path(source).rglob("mod.rs"):
        folder = ".".join(path.parent.relative_to(source).parts).replace("_", "-")
        text = re.sub(r"///.*", "", path.read_text())
        for kind, body in re.findall(r"pub struct (\w+) \{(.*?)\n\}", text, re.S):
            known = {plain(name): number for number, name in re.findall(r'tag = "(\d+)"\)\]\s+pub ([\w#]+):', body)}
            for name, words in lines.items():
                if name.lower() != f"io.k8s.{folder}.{kind}".lower():
                    continue
                for word in words:
                    key, number = re.match(r"(.+)=(\d+)", word).groups()
                    other = known.get(plain(key.rsplit(".", 1)[-1]).replace("-", ""))
                    compared += other is not None
                    if other not in (None, number):
                        wrong += 1
                        print(f"{name}: {word}, but {other} in k8s-pb", file=sys.stderr)
    print(f"{compared} numbers compared with k8s-pb, {wrong} differ", file=sys.stderr)
    if wrong:
        raise SystemExit(1)


def main():
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    lines = extract(Binary(sys.argv[1]))
    for line in BY_HAND.strip().splitlines():
        name, *words = line.split()
        lines[name] = words
    if len(sys.argv) == 3:
        check(lines, sys.argv[2])
    TARGET.write_text(HEADER + "".join(f"{' '.join([name, *lines[name]])}\n" for name in sorted(lines)))
    print(f"{len(lines)} definitions, {sum(map(len, lines.values()))} fields", file=sys.stderr)


main()
