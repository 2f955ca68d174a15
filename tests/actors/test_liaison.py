"""Each provider apart: one that hangs or refuses holds up nobody."""

from pathlib import Path

from relaymd.actors.provisioner import Provisioner
from tests.actors.cloud import Cloud
from tests.actors.clouds import clusters, kinds, look, over
from tests.actors.office import until


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
