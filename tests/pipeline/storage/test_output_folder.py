from pipeline.storage.output_folder import output_folders, within


def test_output_folders_are_known_by_their_spec_at_the_base_and_below_it() -> None:
    paths = [
        "/in/a.jsonl",
        "/in/out/generations/part-000000-feed.parquet",
        "/in/deep/er/router/experts.parquet",
        "/in/nightly/report.json",
        "/in/nobody/generations/x.parquet",
    ]
    asked: list[str] = []

    def exists(path: str) -> bool:
        asked.append(path)
        return "nobody" not in path

    assert output_folders(paths, "/in", exists) == {"/in/out", "/in/deep/er", "/in/nightly"}
    assert sorted(asked) == [
        f"/in/{name}/_job/spec.json" for name in ("deep/er", "nightly", "nobody", "out")
    ], "one request for each folder that may be one"
    assert output_folders(["/out/generations/a.parquet"], "/out", exists) == {"/out"}
    assert output_folders(["/out/generations/a.parquet"], "/out/generations", exists) == set()


def test_a_report_of_someone_else_is_no_output() -> None:
    assert output_folders(["/in/report.json/a.jsonl", "/in/my-report.json"], "/in", lambda _: True) == set()


def test_within_goes_by_whole_names() -> None:
    assert within("/a/b", "/a/b")
    assert within("/a/b/c", "/a/b")
    assert within("/a", "/")
    assert not within("/a/bc", "/a/b")
    assert not within("/a", "/a/b")
