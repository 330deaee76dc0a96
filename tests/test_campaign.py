"""A short part of benchmarks/faults.py: a kill and a damage, in real processes."""

import importlib.util
import pathlib

FILE = pathlib.Path(__file__).parents[1] / 'benchmarks' / 'faults.py'


def test_a_killed_build_and_a_damaged_file_give_what_an_undisturbed_run_gives(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location('faults', FILE)
    faults = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(faults)
    campaign = faults.Campaign(tmp_path, 0, ['cache'])
    campaign.kill('kill')
    campaign.damage('damage', *faults.KINDS[0])
    campaign.damage('damage', *faults.KINDS[0])
    campaign.damage('input', *faults.INPUTS[0])
    assert len((tmp_path / 'trials.jsonl').read_text().splitlines()) == 3, 'what is done is not done again'
    assert campaign.table() == 0, capsys.readouterr().out
