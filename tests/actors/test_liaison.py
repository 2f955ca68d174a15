"""Each provider apart: one that hangs or refuses holds up nobody."""

from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from relaymd.actors.provisioner import Provisioner
from tests.actors.cloud import Cloud
from tests.actors.clouds import clusters, kinds, look, over, switch
from tests.actors.office import Office, until


async def test_a_provider_that_hangs_holds_up_nobody(tmp_path: Path) -> None:
    stuck, sound = Cloud("a-stuck", limit=1), Cloud("sound")
    async with over(tmp_path, stuck, sound) as office:
        stuck.hangs = True
        for n in range(3):
            await office.operator.submit(f"j{n}")
        await look(office, 6)

        assert len(sound.alive) == 2
        sound.alive.clear()
        await look(office, 6)
        assert "ended" in await kinds(office), "and it is looked at all the time"


async def test_a_provider_that_hangs_is_given_up_and_left_alone(tmp_path: Path) -> None:
    stuck, sound = Cloud("a-stuck"), Cloud("sound")
    stuck.call_within = 0.05
    async with over(tmp_path, stuck, sound) as office:
        stuck.hangs = True
        await office.operator.submit()
        provisioner = office.actors["provisioner"]
        assert isinstance(provisioner, Provisioner)
        await until(lambda: provisioner.closed("a-stuck"))
        (view, _) = await clusters(office)
        assert view.closed.startswith("a-stuck did not answer within 0.05 s; asked again in")


async def test_what_nobody_can_see_for_a_minute_is_not_waited_for_alone(tmp_path: Path) -> None:
    stuck, sound = Cloud("a-stuck"), Cloud("sound")
    async with over(tmp_path, stuck, sound) as office:
        await office.operator.submit()
        await look(office)
        stuck.blind = True
        await look(office)
        office.clock.advance(59.0)
        await look(office)
        assert sound.asked == []
        office.clock.advance(2.0)
        await look(office)
        assert len(sound.asked) == 1
        assert len(stuck.alive) == 1, "whether it is needed is decided when it is seen again"

        stuck.blind = False
        office.clock.advance(600.0)
        await look(office, 6)
        assert len(stuck.alive) + len(sound.alive) == 1


async def test_what_was_to_be_asked_of_who_refuses_is_asked_of_another(tmp_path: Path) -> None:
    broken, sound = Cloud("a-broken"), Cloud("sound")
    broken.refuses = True
    async with over(tmp_path, broken, sound) as office:
        for n in range(3):
            await office.operator.submit(f"j{n}")
        await look(office, 8)

        assert len(broken.asked) == 1
        assert len(sound.alive) == 3


# -- a defect in one


@pytest.mark.parametrize("call", ["submit", "observe", "cancel", "offers"])
async def test_a_defect_in_a_provider_is_its_own_trouble(tmp_path: Path, call: str) -> None:
    defective, sound = Cloud("a-defective", limit=1), Cloud("sound", limit=2)
    defective.defects.add(call)
    async with over(tmp_path, defective, sound) as office:
        before = office.actors["provisioner"]
        for n in range(3):
            await office.operator.submit(f"j{n}")
        await look(office, 6)
        if call == "cancel":
            await switch(office, "a-defective", enabled=False)
            await look(office)

        assert office.actors["provisioner"] is before, "the provisioner went on"
        assert len(sound.alive) == 2, "the other is served"
        view = (await clusters(office))[0]
        assert f"a defect in RelayMD, KeyError('{call}'); asked again in" in view.closed

        defective.defects.clear()
        office.clock.advance(600.0)
        await look(office, 6)
        view = (await clusters(office))[0]
        assert view.closed == ""
        assert len(defective.alive) == (0 if call == "cancel" else 1)


async def test_a_defect_is_logged_with_its_trace_once_a_try(tmp_path: Path) -> None:
    defective = Cloud()
    defective.defects.add("offers")
    with capture_logs() as logs:
        async with over(tmp_path, defective) as office:
            await office.operator.submit()
            await look(office, 9)
    found = [each for each in logs if each["event"] == "provider.defect"]
    assert [(each["cluster"], each["log_level"]) for each in found] == [("north", "error")]
    assert isinstance(found[0]["exc_info"], KeyError)


# -- away, and back


async def away(office: Office, times: int = 4) -> None:
    for _ in range(times):
        office.clock.advance(60.0)
        await look(office)


async def seen_once_then_blind(office: Office, cloud: Cloud) -> None:
    """There is something to look at, and no look succeeds any more."""
    await office.operator.submit()
    await look(office)
    cloud.blind = True


async def reaches(office: Office) -> list[tuple[str, str]]:
    """What was told of clusters that are away and back: the kind, and why."""
    rows = await office.ledger.archive.events_after(0, limit=10_000)
    told = [msgspec.json.decode(row.body) for row in rows if row.kind.endswith("reachable")]
    assert {one["cluster"] for one in told} <= {"north"}
    return [(one["kind"], one.get("reason", "")) for one in told]


GONE = ("unreachable", "squeue: connection refused")
BACK = ("reachable", "")


async def test_a_cluster_that_is_away_and_back_is_told_once_each(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await seen_once_then_blind(office, cloud)
        await look(office)
        assert await reaches(office) == [], "one failure is no news"
        await away(office)
        assert await reaches(office) == [GONE]
        cloud.blind = False
        await away(office)
        assert await reaches(office) == [GONE, BACK]


async def test_what_was_told_of_a_cluster_is_remembered_over_a_restart(tmp_path: Path) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await seen_once_then_blind(office, cloud)
        await away(office)

    async with over(tmp_path, cloud) as office:
        await away(office)
        assert await reaches(office) == [GONE], "it is not told once more"

    cloud.blind = False
    async with over(tmp_path, cloud) as office:
        await away(office)
        assert await reaches(office) == [GONE, BACK]

    async with over(tmp_path, cloud) as office:
        await away(office)
        assert await reaches(office) == [GONE, BACK]


async def test_who_was_told_away_is_looked_at_also_where_nothing_is_left_of_it(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    async with over(tmp_path, cloud) as office:
        await office.ledger.put_unreachable("north", GONE[1])
    async with over(tmp_path, cloud) as office:
        await away(office)
        assert await reaches(office) == [GONE, BACK]
