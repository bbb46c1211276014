"""Domain XML: what is written can be read, whatever an instance is called; needs no libvirt."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novastate.drivers.libvirt import xml
from novastate.errors import InvalidField
from novastate.objects import Flavor, Instance

UUID = "7a1f2c9e-0d53-4c7f-9a39-5a2be3a2f6d1"


def instance(**fields):
    return Instance(**{"uuid": UUID, "flavor": Flavor(vcpus=2, memory_mb=512, root_gb=3), **fields})


def test_a_domain_has_what_its_flavor_says():
    domain = ET.fromstring(xml.domain_xml(instance(), instances_path="/var/guests", virt_type="qemu", arch="x86_64"))
    assert domain.get("type") == "qemu"
    assert domain.findtext("uuid") == UUID
    assert domain.find("memory").attrib == {"unit": "MiB"}
    assert (domain.findtext("memory"), domain.findtext("vcpu")) == ("512", "2")
    assert domain.find("os/type").get("arch") == "x86_64"
    assert domain.find("features/acpi") is not None, "without ACPI no guest hears that it is to shut down"
    assert domain.find("devices/disk/source").get("file") == f"/var/guests/{UUID}.qcow2"
    assert domain.find("devices/disk/target").get("bus") == "virtio"
    assert domain.find("devices/serial/log").attrib == {"file": f"/var/guests/{UUID}.console.log", "append": "on"}


def test_the_name_is_novas():
    assert ET.fromstring(xml.domain_xml(instance(id=42))).findtext("name") == "instance-0000002a"
    assert ET.fromstring(xml.domain_xml(instance())).findtext("name") == UUID


def test_kvm_has_the_hosts_cpu_model():
    assert ET.fromstring(xml.domain_xml(instance(), virt_type="kvm")).find("cpu").get("mode") == "host-model"
    assert ET.fromstring(xml.domain_xml(instance(), virt_type="qemu")).find("cpu") is None


def test_the_instances_architecture_comes_first():
    domain = ET.fromstring(xml.domain_xml(instance(architecture="aarch64"), arch="x86_64"))
    assert domain.find("os/type").get("arch") == "aarch64"
    assert domain.find("features") is None


@pytest.mark.parametrize(
    ("root_gb", "metadata", "disks"),
    [(0, {}, 0), (1, {}, 1), (0, {xml.IMAGE_KEY: "/images/debian.qcow2"}, 1)],
)
def test_there_is_a_root_disk_if_the_flavor_or_an_image_has_one(root_gb, metadata, disks):
    small = instance(flavor=Flavor(vcpus=1, memory_mb=64, root_gb=root_gb), metadata=metadata)
    assert len(ET.fromstring(xml.domain_xml(small)).findall("devices/disk")) == disks


CONTROL = [*range(32), 0xFFFE, 0xFFFF]


@given(
    st.text(max_size=60),
    st.text(st.characters(exclude_characters="".join(map(chr, CONTROL)), exclude_categories=["Cs"]), max_size=60),
)
def test_any_name_makes_a_domain_that_can_be_read(name, directory):
    """Every character that XML holds is kept; of a title the others are dropped."""
    directory = "/" + directory
    text = xml.domain_xml(instance(display_name=name), instances_path=directory)
    domain = ET.fromstring(text.encode())
    assert domain.findtext("title", "") == "".join(c for c in name if ord(c) not in CONTROL)
    assert xml.uuid_of(text) == UUID
    assert [disk.path for disk in xml.file_disks(text)] == [f"{directory}/{UUID}.qcow2"]


@pytest.mark.parametrize("parameter", ["instances_path", "arch", "emulator"])
def test_a_path_that_xml_cannot_hold_is_refused(parameter):
    with pytest.raises(InvalidField):
        xml.domain_xml(instance(), **{parameter: "/a\nb"})


def test_only_what_a_guest_writes_to_is_its_disk():
    domain = """<domain><devices>
      <disk type='file' device='disk'><source file='/a &amp; b.qcow2'/><target dev='vda'/></disk>
      <disk type='file'><source file='/default'/></disk>
      <disk type='file' device='lun'><source file='/lun'/></disk>
      <disk type='file' device='disk'><source file='/golden.qcow2'/><transient/></disk>
      <disk type='file' device='cdrom'><source file='/iso'/><readonly/></disk>
      <disk type='file' device='disk'><source file='/read-only'/><readonly/></disk>
      <disk type='file' device='disk'><source file='/shared'/><shareable/></disk>
      <disk type='block' device='disk'><source dev='/dev/sdb'/></disk>
      <disk type='network' device='disk'><source protocol='rbd' name='pool/image'/></disk>
      <disk type='file' device='disk'/>
    </devices></domain>"""
    assert [disk.path for disk in xml.file_disks(domain)] == ["/a & b.qcow2", "/default", "/lun"]


def test_what_is_no_xml_is_a_value_error():
    with pytest.raises(ValueError, match="no XML"):
        xml.uuid_of("<domain>")


def test_kvm_is_looked_for_in_the_guests_architecture():
    capabilities = """<capabilities>
      <guest><arch name='i686'><domain type='qemu'/><domain type='kvm'/></arch></guest>
      <guest><arch name='x86_64'><domain type='qemu'/></arch></guest></capabilities>"""
    assert xml.has_kvm(capabilities, "i686")
    assert not xml.has_kvm(capabilities, "x86_64")
    assert not xml.has_kvm(capabilities, "aarch64")
