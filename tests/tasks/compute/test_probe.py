"""This machine's record gives back the seconds of the trainings that it was made from."""

import pytest

from infra.settings import Settings
from tasks.algorithm.machines import Machine
from tasks.compute import probe
from tasks.compute.prediction import Prediction
from tests.tasks.compute.conftest import Workspace


@pytest.fixture(scope="module")
def machine(tmp_path_factory) -> Machine:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "_PROBE_SECONDS", 0.1)
        patch.setattr(probe, "_PRODUCT_SECONDS", 0.01)
        patch.setattr(probe, "_PROBES", ({"width": 16, "n_layers": 1}, {"width": 48, "n_layers": 2}))
        return probe.measure(Settings(workspace=tmp_path_factory.mktemp("w"), device="cpu", workers=3))


def test_a_record_has_what_a_plan_needs(machine: Machine):
    assert (machine.device, machine.workers, machine.mfu) == ("cpu", 3, None)
    assert all(speed > 1e8 for speed in machine.products.values())
    assert machine.bytes_per_second > 1e8
    assert machine.peak_flops == max(machine.products.values())
    assert 50 << 20 < machine.program_bytes < machine.memory_bytes
    assert Machine.model_validate_json(machine.model_dump_json()) == machine


def test_it_foretells_its_own_probes(machine: Machine):
    alone = machine.model_copy(update={"workers": 1})
    for values, measured in zip(
        ({"width": 16, "n_layers": 1}, {"width": 48, "n_layers": 2}), machine.probes, strict=True
    ):
        said = alone.seconds_per_step(probe.probe_blueprint(**values))
        # Exactly, but where a call would have had to take less than nothing.
        if machine.call_seconds:
            assert said == pytest.approx(measured.seconds_per_step)


@pytest.mark.parametrize(
    ("probes", "factor", "call_seconds"),
    [([(3.0, 1.0, 1.0), (10.0, 4.0, 2.0)], 2.0, 1.0), ([(1.0, 1.0, 5.0), (8.0, 4.0, 2.0)], 2.0, 0.0)],
)
def test_two_probes_give_two_numbers_and_none_below_zero(probes, factor, call_seconds):
    assert probe._fit(probes) == pytest.approx((factor, call_seconds))


def test_a_prediction_is_of_the_blueprint_that_it_was_kept_for(workspace: Workspace):
    from tasks.algorithm.blueprint import Blueprint

    settings, blueprint = workspace.settings(), Blueprint.make(workspace.params)
    assert Prediction.of(settings, blueprint) is None
    said = Prediction(wall_seconds=10.0, peak_rss_bytes=1, bits_per_byte=2.0, machine="m")
    said.keep(settings, blueprint)
    assert Prediction.of(settings, blueprint) == said
    assert Prediction.of(settings, blueprint.model_copy(update={"steps": 1})) is None
    (settings.records / "plan.json").write_text("{")
    assert Prediction.of(settings, blueprint) is None
