"""Ten faults of the campaign, of every kind; `make faults` runs them all."""

import os
from collections.abc import Iterator

import pytest

from tests.faults import catalogue
from tests.faults.campaign import run_one
from tests.faults.catalogue import Fault
from tests.faults.s3 import s3_server
from tests.faults.workspace import Reference

SEED = int(os.environ.get("FAULTS_SEED", "1"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Outputs up to dedup, which need no training; and an S3 server."""
    base = tmp_path_factory.mktemp("faults")
    made = Reference(base)
    made.prepare(through="dedup")
    with s3_server(base / "s3.log"):
        yield made


@pytest.mark.thread
@pytest.mark.parametrize("fault", catalogue.sample(SEED), ids=lambda fault: fault.label)
def test_a_fault_loses_nothing(fault: Fault, reference: Reference):
    ended = run_one(fault, reference)
    assert ended.result.problem == "", ended.result.problem


def test_the_campaign_has_at_least_a_hundred_faults_of_every_kind_each_with_a_name_of_its_own():
    faults = catalogue.campaign(SEED)
    assert len(faults) >= 100
    assert len({fault.label for fault in faults}) == len(faults)
    assert {fault.kind for fault in catalogue.sample(SEED)} == {fault.kind for fault in faults}
    assert len(catalogue.sample(SEED)) == 10


def test_the_same_seed_is_the_same_campaign():
    assert catalogue.campaign(2) == catalogue.campaign(2)
    assert catalogue.campaign(2) != catalogue.campaign(1)
    first, second = catalogue.campaign(2)[0], catalogue.campaign(2)[0]
    assert first.random.random() == second.random.random()
