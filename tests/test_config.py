"""Settings: what is allowed, what a refusal says, and the round trip through JSON."""

import dataclasses
import json

import pytest
from other_values import BESIDE, other_value, other_values

from daaf_tf.config import (
    CHANGEABLE_ON_RESUME,
    Config,
    differences,
    flat,
    from_json,
    settings,
    to_json,
)
from daaf_tf.errors import UserError

NAMES = list(settings())
WRONG_TYPE = {bool: 1, int: True, float: "0.1", str: 5, tuple: 8000}


def bounded(key):
    return [name for name in NAMES if settings()[name][1].metadata[key] is not None]


def rewrite(change):
    """Return the JSON of the default config after `change(sections)`."""
    sections = json.loads(to_json(Config()))
    change(sections)
    return json.dumps(sections)


def test_setting_names_are_unique_across_sections():
    sections = [section.default for section in dataclasses.fields(Config)]
    assert sum(len(dataclasses.fields(section)) for section in sections) == len(NAMES)


def test_every_help_is_one_line_and_ends_like_a_sentence():
    helps = {name: settings()[name][1].metadata["help"] for name in NAMES}
    assert [n for n, text in helps.items() if "\n" in text or not text.endswith((".", ".)"))] == []


def test_json_round_trip_of_each_setting():
    changed = {
        name: Config().replace(**{name: other_value(name), **BESIDE.get(name, {})})
        for name in NAMES
    }
    assert {name: from_json(to_json(config)) for name, config in changed.items()} == changed
    assert len(set(changed.values()) - {Config()}) == len(NAMES)


def test_json_round_trip_of_all_settings():
    config = Config().replace(**other_values())
    again = from_json(to_json(config))
    assert again == config
    assert [type(value) for value in flat(again).values()] == [
        type(v) for v in flat(config).values()
    ]


def test_default_config_survives_json_bytes():
    assert from_json(to_json(Config()).encode()) == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "model/config.json: not JSON"),
        ("{", "model/config.json: not JSON"),
        ("[]", "expected the sections data, model"),
        ("{}", "expected the sections data, model"),
        (rewrite(lambda s: s.pop("eval")), "expected the sections"),
        (rewrite(lambda s: s.update(data=3)), r"data\.data_dir is missing"),
        (rewrite(lambda s: s["data"].pop("seed")), r"data\.seed is missing"),
        (rewrite(lambda s: s["model"].update(colour=1)), r"unknown settings model\.colour"),
        (rewrite(lambda s: s["data"].update(seed="1")), "model/config.json: --seed='1'"),
        (rewrite(lambda s: s["data"].update(padding=-1)), "model/config.json: --padding=-1"),
        (rewrite(lambda s: s["optimizer"].update(milestones=["1"])), "whole numbers"),
        (rewrite(lambda s: s["optimizer"].update(milestones=3)), "--milestones=3"),
        (rewrite(lambda s: s["optimizer"].update(learning_rate=float("nan"))), "finite"),
    ],
)
def test_from_json_names_what_is_wrong(text, message):
    with pytest.raises(UserError, match=message):
        from_json(text, "model/config.json")


@pytest.mark.parametrize("name", bounded("minimum"))
def test_minimum(name):
    minimum = settings()[name][1].metadata["minimum"]
    with pytest.raises(UserError, match=f"--{name}=.*expected {minimum} or more"):
        Config().replace(**{name: type(settings()[name][1].default)(minimum - 1)})


@pytest.mark.parametrize("name", bounded("maximum"))
def test_maximum(name):
    maximum = settings()[name][1].metadata["maximum"]
    with pytest.raises(UserError, match=f"--{name}=.*expected {maximum} or less"):
        Config().replace(**{name: type(settings()[name][1].default)(maximum + 1)})


@pytest.mark.parametrize("name", bounded("choices"))
def test_choices(name):
    wrong = "none of them" if isinstance(settings()[name][1].default, str) else 77
    with pytest.raises(UserError, match=f"--{name}={wrong}: expected one of "):
        Config().replace(**{name: wrong})


@pytest.mark.parametrize("name", NAMES)
def test_type(name):
    wrong = WRONG_TYPE[type(settings()[name][1].default)]
    with pytest.raises(UserError, match=f"--{name}="):
        Config().replace(**{name: wrong})


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 10**400])
def test_floats_are_finite(value):
    with pytest.raises(UserError, match="--learning_rate"):
        Config().replace(learning_rate=value)


def test_whole_number_where_a_float_is_due_becomes_one():
    assert type(Config().replace(mask_weight=3).loss.mask_weight) is float


@pytest.mark.parametrize("value", ["two\nlines", " before", "after "])
def test_texts_fit_in_a_flagfile_line(value):
    with pytest.raises(UserError, match="--data_dir="):
        Config().replace(data_dir=value)


@pytest.mark.parametrize(("margin", "parsed"), [("soft", "soft"), ("0.3", 0.3), ("0", 0.0)])
def test_margin(margin, parsed):
    assert Config().replace(margin=margin).loss.parsed_margin() == parsed


@pytest.mark.parametrize("margin", ["hard", "-0.1", "nan", "inf", "", "0,3"])
def test_bad_margin(margin):
    with pytest.raises(UserError, match=f"--margin={margin}: expected 'soft' or a number"):
        Config().replace(margin=margin)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"erasing_min_area": 0.5}, "--erasing_min_area=0.5 is larger than --erasing_max_area=0.4"),
        ({"resize_height": 255}, "--resize_height=255 .* make it 256 or more"),
        ({"resize_width": 100, "padding": 10}, "--image_width=128; make it 108 or more"),
        ({"schedule": "multistep"}, "needs --milestones"),
        ({"milestones": (5, 5)}, "--milestones=5,5: expected growing steps"),
        ({"milestones": (7, 5)}, "--milestones=7,5: expected growing steps"),
        ({"milestones": (0, 5)}, "--milestones=0,5: expected growing steps above 0"),
        ({"triplet_weight": 0}, "--triplet_weight=0 and --identity_weight=0"),
        ({"images_per_identity": 1}, "--images_per_identity=1: .* 2 or more"),
        ({"head": "bnneck"}, "--head=bnneck with --identity_weight=0: .* --identity_weight=1"),
        ({"metric_loss": "semi_hard"}, "--metric_loss=semi_hard has no soft margin: .*--margin=1"),
        (
            {"metric_loss": "lifted", "margin": "1", "metric": "cosine"},
            "--metric=cosine: --metric_loss=lifted knows --metric=euclidean only",
        ),
        (
            {"optimizer": "lamb", "centre_weight": 0.1},
            "--centre_weight=0.1 does not go with --optimizer=lamb",
        ),
        (
            {"optimizer": "lamb", "ema_momentum": 0.9},
            "--ema_momentum=0.9 does not go with --optimizer=lamb: expected .*adam or sgd",
        ),
        (
            {"optimizer": "radam_lookahead", "freeze_backbone_steps": 5},
            "--freeze_backbone_steps=5 does not go with --optimizer=radam_lookahead",
        ),
        ({"backbone": "keras_cv"}, "--backbone=keras_cv needs --backbone_config"),
        (
            {"backbone": "keras_cv", "backbone_config": "{}", "hab_input": "copy"},
            "--hab_input=copy copies stages of our ResNets",
        ),
        ({"feature_map": (8,)}, "--feature_map=8: expected height and width"),
        ({"feature_map": (8, 0)}, "--feature_map=8,0: expected height and width"),
        ({"hab_channels": (1,)}, "--hab_channels=1: expected the first and the last"),
        ({"hab_channels": (5, 4)}, "--hab_channels=5,4: expected the first and the last"),
        ({"hab_channels": (-1, 4)}, "--hab_channels=-1,4: expected the first and the last"),
        ({"pab_group_channels": "0"}, "--pab_group_channels=0: expected 'sixth', 'all' or a"),
        ({"pab_group_channels": "1.5"}, "--pab_group_channels=1.5: expected 'sixth', 'all' or a"),
        (
            {"decoder_output": "linear", "mask_loss": "bce"},
            "--mask_loss=bce needs predictions in 0..1; --decoder_output=linear",
        ),
    ],
)
def test_settings_that_do_not_go_together(values, message):
    with pytest.raises(UserError, match=message):
        Config().replace(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"resize_height": 256},
        {"resize_width": 108, "padding": 10},
        {"erasing_min_area": 0.4, "erasing_max_area": 0.4},
        {"schedule": "multistep", "milestones": (1,)},
        {"triplet_weight": 0, "identity_weight": 1, "images_per_identity": 1},
        {"head": "bnneck", "identity_weight": 0.1},
        {"decoder_output": "linear", "mask_loss": "bce", "hab": False},
        {"hab_channels": (0, 0)},
    ],
)
def test_settings_that_just_go_together(values):
    config = Config().replace(**values)
    assert {name: flat(config)[name] for name in values} == values


def test_replace_names_unknown_settings():
    with pytest.raises(UserError, match="unknown setting learning_rat; known are data_dir, "):
        Config().replace(learning_rat=1)


def test_replace_leaves_the_original_alone():
    config = Config()
    changed = config.replace(seed=2, embedding_size=64)
    assert (config.data.seed, changed.data.seed, changed.model.embedding_size) == (1, 2, 64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.data.seed = 3


def test_differences_name_what_a_resumed_run_may_not_change():
    for name in NAMES:
        old = Config().replace(**BESIDE.get(name, {}))
        new = old.replace(**{name: other_value(name)})
        shown = f"{name}: {flat(old)[name]} -> {flat(new)[name]}"
        assert differences(old, new) == ([] if name in CHANGEABLE_ON_RESUME else [shown])
        assert differences(old, old) == differences(new, new) == []


def test_what_may_change_on_resume_exists():
    assert set(CHANGEABLE_ON_RESUME) <= set(NAMES)


def test_batch_size():
    assert Config().replace(identities_per_batch=5, images_per_identity=3).batch_size == 15


@pytest.mark.parametrize(
    ("height", "width", "last_stride", "deconvs", "target"),
    [
        (256, 128, 2, 4, (128, 64)),
        (256, 128, 1, 4, (256, 128)),
        (255, 129, 2, 4, (128, 80)),
        (32, 33, 1, 4, (32, 48)),
        (128, 64, 1, 3, (64, 32)),
    ],
)
def test_target_size_is_the_last_feature_maps_doubled(height, width, last_stride, deconvs, target):
    config = Config().replace(
        image_height=height, image_width=width, last_stride=last_stride, decoder_deconvs=deconvs
    )
    assert config.target_size == target


def test_target_size_of_a_measured_feature_map():
    unmeasured = Config().replace(backbone="keras_cv", backbone_config="{}")
    with pytest.raises(UserError, match="--feature_map is not known yet: .*resolve_backbone"):
        unmeasured.target_size  # noqa: B018 (a property that refuses)
    assert unmeasured.replace(feature_map=(32, 15)).target_size == (512, 240)
