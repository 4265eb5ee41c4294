"""Every check finds the flaw that it is there for, says so, and has nothing against a sound encoder."""

import pytest

from registry.errors import ModelError, UnknownEncoderError
from registry.testing import CHECKS, check_encoder, run_check, select_variants

# variant of registry_flawed, check, and words of its finding
FLAWS = [
    ("other_parameters", "spec", "write parameters="),
    ("other_macs", "spec", "write macs="),
    ("not_described", "spec", "described in one sentence"),
    ("unlicensed", "spec", "must state their license"),
    ("unversioned", "spec", "kaggle://owner/model/framework/variation/version"),
    ("elsewhere", "spec", "the scheme of a handle is one of kaggle, hf, https"),
    ("relative", "spec", "absolute path"),
    ("license_in_words", "spec", "SPDX"),
    ("paper_in_words", "spec", "must be an address"),
    ("excluded_by_another_word", "spec", "an exclusion must name a check"),
    ("without_example", "spec", "json_schema_extra"),
    ("needlessly_excluded", "flat", "an exclusion must be needed"),
    ("smaller_than_it_says", "pyramid", "one pixel at least"),
    ("uneven", "pyramid", "P3: promised stride 4"),
    ("raises", "pyramid", "KeyError"),
    ("nested", "flat", "nested: inner"),
    ("code", "flat", "Lambda: code"),
    ("operation", "flat", "operations on KerasTensors"),
    ("head_name", "flat", "decoder_conv"),
    ("applied_twice", "flat", "twice ×2"),
    ("counted_names", "deterministic", "never by a counter"),
    ("counted_variables", "deterministic", "two/conv2d"),
    ("other_shapes", "deterministic", "differs in last"),
    ("infers_wrongly", "sizes", "compute_output_shape"),
    ("not_finite", "sizes", "NaN or infinite"),
    ("rate_forgotten", "atrous", "P3 at output stride 4"),
    ("no_gradient", "gradients", "none: "),
    ("forgets_argument", "save", "get_config"),
    ("stumbles", "weights", "KeyError for source 'imagenet'"),
    ("renames_all", "weights", "return None for all others"),
    ("taken_apart", "float32", "tf_keras layers with a dilation_rate: last"),
    ("flex", "float32", "builtin operations"),
    ("float_only", "int8", "int8"),
    ("unregistered", "quantization_aware", "Unregistered"),
]


@pytest.mark.parametrize(("variant", "check", "words"), FLAWS, ids=[f"{v}-{c}" for v, c, _ in FLAWS])
def test_a_flaw_is_found_by_its_check(flawed, variant, check, words):
    outcome = run_check(flawed, variant, check)
    assert outcome.status == "failed", outcome
    assert words in str(outcome)
    for finding in outcome.findings:
        assert finding.promise
        assert finding.seen
        assert finding.repair


def test_every_check_but_that_of_the_plugin_has_a_flaw_to_find():
    assert {check for _, check, _ in FLAWS} == set(CHECKS) - {"imports"}


def test_a_sound_encoder_passes_every_check(flawed):
    outcomes = check_encoder(flawed, "sound")
    assert [outcome.check for outcome in outcomes] == list(CHECKS)
    assert [str(outcome) for outcome in outcomes if outcome.status != "passed"] == []


def test_a_plugin_that_imports_tensorflow_is_found(flawed):
    outcome = run_check("heavy", "heavy", "imports")
    assert outcome.status == "failed"
    assert "loading plugin 'heavy' imports tensorflow, tf_keras" in str(outcome)


def test_an_excluded_check_keeps_its_finding_and_gives_the_reason(flawed):
    outcome = run_check(flawed, "nested_and_known", "flat")
    assert outcome.status == "excluded"
    assert outcome.reason == "a model inside, as its authors publish it"
    assert "nested: inner" in str(outcome)


def test_one_output_stride_leaves_nothing_to_compare(flawed):
    outcome = run_check(flawed, "one_stride", "atrous")
    assert outcome.status == "inapplicable"
    assert outcome.reason == "its one output stride is 8"


def test_global_pooling_is_left_out_of_the_comparison_and_said(flawed):
    outcome = run_check(flawed, "squeezed", "atrous")
    assert outcome.status == "passed", outcome
    assert "global pooling" in outcome.notes[0]


def test_required_options_come_from_the_example(flawed):
    assert run_check(flawed, "with_example", "pyramid").status == "passed"
    assert run_check(flawed, "with_example", "spec").status == "passed"
    outcome = run_check(flawed, "without_example", "pyramid")
    assert outcome.status == "inapplicable"
    assert "no example" in outcome.reason


def test_layers_that_need_a_config_are_noted(flawed):
    outcome = run_check(flawed, "float_only", "quantization_aware")
    assert outcome.status == "passed"
    assert outcome.notes == ("layers that need a QuantizeConfig of their own: AtrousConv2D ×1, Sine ×1",)


def test_variants_are_selected_smallest_first(flawed):
    everything = select_variants(flawed, "all")
    assert everything[:2] == ["other_parameters", "other_macs"]
    assert everything[-2:] == ["without_example", "with_example"]  # of no stated size
    assert select_variants(flawed, "smallest") == everything[:1]
    # All but one have no paper, so they count as one architecture.
    assert select_variants(flawed, "architectures") == ["other_parameters", "paper_in_words"]
    assert select_variants(flawed, ["nested*"]) == ["nested", "nested_and_known"]
    with pytest.raises(UnknownEncoderError, match="did you mean 'sound'"):
        select_variants(flawed, ["soundd"])


def test_a_check_that_does_not_exist_is_refused(flawed):
    with pytest.raises(ModelError, match="did you mean 'atrous'"):
        check_encoder(flawed, "sound", checks=["atros"])


def test_the_names_of_every_head_of_ours_are_taken():
    from registry.testing.heads import head_names

    names = head_names()
    for beginning in (
        "aspp_",
        "decoder_",
        "fpn_",
        "lr_aspp_",
        "psp_",
        "segformer_",
        "unet_",
        "segmentation_output",
    ):
        assert any(name.startswith(beginning) for name in names), beginning
    assert not any(name.startswith("probe_") or name == "inputs" for name in names)
