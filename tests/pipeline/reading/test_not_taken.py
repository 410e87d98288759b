from pipeline.reading.not_taken import NotTaken, Reason


def test_ten_thousand_files_are_one_sentence() -> None:
    many = [(Reason.ENDING, f"{n:05}.csv") for n in range(10_000)]
    said = str(NotTaken.of([*many, (Reason.HIDDEN, ".x.jsonl")]))
    assert said == (
        ".x.jsonl: hidden, by a name that begins with . or _; "
        "00000.csv, 00001.csv, 00002.csv and 9,997 more: of another ending than those that are read"
    )


def test_names_are_shown_escaped_and_once() -> None:
    said = str(NotTaken.of([(Reason.ENDING, "a\n\x1b\udce9")] * 2))
    assert said.startswith("a\\n\\x1b\\xe9: ")


def test_what_programs_leave_beside_data_goes_without_saying() -> None:
    names = (
        "_SUCCESS",
        "_SUCCESS-001",
        "_SUCCESS.crc",
        "x/.DS_Store",
        "._a",
        ".a.jsonl.crc",
        ".gitattributes",
    )
    names += (".git/", ".git", "_metadata", "_started_1")
    assert not NotTaken.of((Reason.HIDDEN, name) for name in names)
    for name in ("_tmp/", "_SUCCESS/", "_started_1/", ".cache/", ".ipynb_checkpoints/", "_SUCCESS_rows"):
        assert NotTaken.of([(Reason.HIDDEN, name)]), "it may hold rows"
    assert NotTaken.of([(Reason.ENDING, "_SUCCESS")]), "only as hidden"


def test_no_file_with_an_ending_of_data_goes_without_saying() -> None:
    for name in ("_SUCCESS_rows.jsonl", "_started_x.jsonl", "_committed_1.JSON.gz", "._a.parquet"):
        assert str(NotTaken.of([(Reason.HIDDEN, name)])).startswith(f"{name}: hidden")
