import pytest

from model.machine.available_memory import available_bytes

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def system(monkeypatch, tmp_path):
    """Writes files as a kernel shows them; none of this machine's is read."""
    monkeypatch.setattr("model.machine.available_memory.MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr("model.machine.available_memory.MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr("model.machine.available_memory.CGROUPS", tmp_path / "groups")

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, errors="surrogateescape")

    write({"meminfo": "MemTotal: 900000 kB\nMemFree: 10 kB\nMemAvailable: 500000 kB\nCached: 550000 kB\n"})
    return write


def group_v1(folder, limit, used, inactive, active):
    """Its limit is for all groups within it, as are the numbers that begin with total_."""
    return {
        f"groups/memory{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"groups/memory{folder}/memory.usage_in_bytes": f"{used}\n",
        f"groups/memory{folder}/memory.stat": "cache 7\ninactive_file 1\nactive_file 1\n"
        f"total_inactive_file {inactive}\ntotal_active_file {active}\n",
    }


def group_v2(folder, limit, used, inactive, active):
    return {
        f"groups{folder}/memory.max": f"{limit}\n",
        f"groups{folder}/memory.current": f"{used}\n",
        f"groups{folder}/memory.stat": f"anon 5\nfile 9\ninactive_file {inactive}\nactive_file {active}\n",
    }


GROUP = pytest.mark.parametrize(
    ("membership", "group"),
    [("12:cpu,cpuacct:/\n4:hugetlb,memory:/a/b\n0::/elsewhere\n", group_v1), ("0::/a/b\n", group_v2)],
    ids=["v1", "v2"],
)
UNLIMITED = {group_v1: (1 << 63) - 4096, group_v2: "max"}


def test_what_files_left_in_memory_is_available(system):
    assert available_bytes() == 500_000 * KIB


@pytest.mark.parametrize("meminfo", [None, "MemTotal: 9000 kB\nMemFree: 10 kB\n"])
def test_where_that_is_not_told_it_is_what_is_free(meminfo, system, monkeypatch, tmp_path):
    (tmp_path / "meminfo").unlink()
    if meminfo:
        system({"meminfo": meminfo})
    monkeypatch.setattr("os.sysconf", {"SC_AVPHYS_PAGES": 7, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available_bytes() == 7 * 4096


@GROUP
def test_a_group_s_limit_leaves_less(membership, group, system):
    system(
        {"membership": membership} | group("/a/b", 100 * MIB, used=70 * MIB, inactive=9 * MIB, active=2 * MIB)
    )
    assert available_bytes() == 41 * MIB


@GROUP
def test_the_groups_around_it_have_limits_too(membership, group, system):
    system({"membership": membership} | group("/a/b", UNLIMITED[group], 70 * MIB, 0, 0))
    system(group("/a", 90 * MIB, 80 * MIB, 0, MIB))
    assert available_bytes() == 11 * MIB


@GROUP
def test_a_container_may_see_its_group_as_the_root(membership, group, system):
    system({"membership": membership} | group("", 90 * MIB, 80 * MIB, 0, 0))
    assert available_bytes() == 10 * MIB


def test_a_container_s_group_may_be_the_root(system):
    system({"membership": "0::/\n"} | group_v2("", 90 * MIB, 80 * MIB, MIB, 0))
    assert available_bytes() == 11 * MIB


def test_groups_that_show_no_files_leave_what_the_machine_has(system):
    system({"membership": "4:memory:/a\n0::/a\n"})
    assert available_bytes() == 500_000 * KIB


@GROUP
def test_a_group_without_a_limit_leaves_what_the_machine_has(membership, group, system):
    system({"membership": membership} | group("/a/b", UNLIMITED[group], 70 * MIB, 0, 0))
    assert available_bytes() == 500_000 * KIB


@GROUP
def test_a_group_beyond_its_limit_leaves_nothing(membership, group, system):
    system({"membership": membership} | group("/a/b", 50 * MIB, 70 * MIB, 0, 0))
    assert available_bytes() == 0


@GROUP
def test_without_statistics_all_that_is_used_counts(membership, group, system, tmp_path):
    system({"membership": membership} | group("/a/b", 100 * MIB, 70 * MIB, 9 * MIB, 0))
    [statistics] = tmp_path.glob("groups/**/memory.stat")
    statistics.unlink()
    assert available_bytes() == 30 * MIB


def test_of_version_2_the_kernel_s_own_caches_are_available_too(system):
    system({"membership": "0::/a\n"} | group_v2("/a", 100 * MIB, 70 * MIB, 0, 0))
    system({"groups/a/memory.stat": f"slab {9 * MIB}\nslab_reclaimable {4 * MIB}\n"})
    assert available_bytes() == 34 * MIB


@GROUP
def test_lines_of_another_form_change_nothing(membership, group, system):
    system(
        {"membership": f"\nwords\n1:name=\udcff:/odd\n{membership}"} | group("/a/b", 90 * MIB, 80 * MIB, 0, 0)
    )
    system({"groups/a/b/memory.stat": "\nthree words here\n", "groups/memory/a/b/memory.stat": "alone\n"})
    assert available_bytes() == 10 * MIB


def test_the_real_files_are_understood():
    assert 0 <= available_bytes() < 1 << 50
