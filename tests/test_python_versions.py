"""The Python versions that are documented, tested and shipped are the same."""

import re
import tomllib

import yaml

from tests.support.projects import ROOT


def test_ci_covers_all_pythons_from_the_oldest_to_the_one_of_the_image() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))
    jobs = [job["strategy"]["matrix"] for job in workflow["jobs"].values()]
    matrices = [matrix["python"] for matrix in jobs if "python" in matrix]
    tested = matrices[0]
    assert matrices == [tested] * len(matrices)
    versions = [int(version.removeprefix("3.")) for version in tested]
    assert versions == list(range(versions[0], versions[-1] + 1))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert required["requires-python"] == f">={tested[0]}"
    template = ROOT / "template"
    assert f'requires-python = ">={tested[0]}"' in (template / "pyproject.toml.jinja").read_text()
    images = re.findall(r"^FROM (\S+)", (template / "Dockerfile").read_text(), re.MULTILINE)
    assert set(images) == {f"python:{tested[-1]}-slim"}
    rendered = (template / ".github/workflows/ci.yml.jinja").read_text()
    assert f'python-version: "{tested[-1]}"' in rendered
