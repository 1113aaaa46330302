"""Several commands in one process."""

from __future__ import annotations

from nanogen.cli import main


def test_a_chain_runs_its_commands_in_order_and_ends_at_the_first_that_fails(tmp_path, capsys):
    schema = ["schema", "--output", str(tmp_path / "first")]
    wrong = ["config", "--study", "no-such-study"]
    never = ["schema", "--output", str(tmp_path / "never")]
    try:
        code = main(["chain", *schema, "--then", *wrong, "--then", *never])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert "no-such-study" in capsys.readouterr().err
    assert list((tmp_path / "first").iterdir())
    assert not (tmp_path / "never").exists()
    assert main(["chain", *schema, "--then", *never]) == 0
    assert (tmp_path / "never").exists()


def test_a_chain_without_a_command_says_how_to_write_one(capsys):
    assert main(["chain"]) == 2
    assert "--then" in capsys.readouterr().err
