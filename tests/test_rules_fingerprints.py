from imine.rules import compare_fingerprints, describe_differences

EXPECTED = {
    "perplexity": {"version": 1, "model": {"name": "A", "sha256": "00"}, "max_tokens": 512},
    "mtld": {"threshold": 0.72, "words": ("a", "b")},
}


def test_equal_fingerprints_have_no_difference():
    actual = {**EXPECTED, "mtld": {"words": ["a", "b"], "threshold": 0.72}, "knn_6": {"i": 6}}
    assert compare_fingerprints(EXPECTED, actual) == []
    assert compare_fingerprints({}, actual) == []


def test_every_difference_is_named():
    actual = {
        "perplexity": {"version": 2, "model": {"name": "A", "sha256": "11", "quantised": True}},
    }
    differences = compare_fingerprints(EXPECTED, actual)
    assert [(d.indicator, d.key) for d in differences] == [
        ("perplexity", "version"),
        ("perplexity", "model.sha256"),
        ("perplexity", "model.quantised"),
        ("perplexity", "max_tokens"),
        ("mtld", ""),
    ]
    assert describe_differences(differences).splitlines() == [
        "  - perplexity: version is 2, the rule expects 1",
        "  - perplexity: model.sha256 is '11', the rule expects '00'",
        "  - perplexity: model.quantised is True, the rule expects (absent)",
        "  - perplexity: max_tokens is (absent), the rule expects 512",
        "  - mtld: the scores have no fingerprint for it",
    ]


def test_a_value_against_a_table():
    differences = compare_fingerprints({"mtld": {"model": {"name": "A"}}}, {"mtld": {"model": "A"}})
    assert [d.key for d in differences] == ["model"]
