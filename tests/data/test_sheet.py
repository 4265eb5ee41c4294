"""The picture sheet shows what was picked, in the colours that its legend names."""

import numpy as np
import pytest
from PIL import Image
from trees import mask_of, write_image, write_indices

from registry.data import Example, check_data, folder_pairs, save_sheet
from registry.data.sheet import draw_sheet
from registry.errors import DataError, OutputPathError

RED, BLUE, CREAM = (255, 0, 0), (0, 0, 255), (224, 224, 192)


def blended(color, gray=60):
    pale = round(gray * 0.6 + 255 * 0.4)
    return np.array([round(pale * 0.35 + channel * 0.65) for channel in color])


def test_classes_are_seen_in_their_colours():
    mask = np.zeros((180, 240), np.uint8)
    mask[:60], mask[60:120], mask[120:] = 1, 0, 255
    example = Example("bands", np.full((180, 240, 3), 60, np.uint8), mask)
    sheet = draw_sheet([example], ["blue", "red", "ignored"], ignore_label=255, palette=[BLUE, RED]).astype(
        int
    )
    np.testing.assert_array_equal(sheet[8:188, 8:248], 60)
    for row, color in ((30, RED), (90, BLUE), (150, CREAM)):
        assert np.abs(sheet[8 + row, 250:489] - blended(color)).max() <= 1
    np.testing.assert_array_equal(sheet[8 + 60, 250:489], 0)  # the outline
    legend = sheet[208:]
    for color in (RED, BLUE, CREAM):
        assert (legend == color).all(-1).sum() > 100


def test_a_black_background_stays_gray_and_pale():
    example = Example("plain", np.full((90, 120, 3), 60, np.uint8), np.zeros((90, 120), np.uint8))
    sheet = draw_sheet([example], ["background", ""], ignore_label=255)
    np.testing.assert_array_equal(sheet[100, 255:480], round(60 * 0.6 + 255 * 0.4))


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (7, 3, 3)])
def test_tiles_stand_in_a_grid(count, columns, rows):
    examples = [
        Example(f"a name that is far too long for the width of its tile {'x' * 60}{number}", image, mask)
        for number in range(count)
        for image, mask in [(np.zeros((200, 90 + 400 * (number % 2), 3), np.uint8), np.zeros((200, 90 + 400 * (number % 2)), np.uint8))]
    ]  # fmt: skip
    sheet = draw_sheet(iter(examples), ["", ""], ignore_label=255)
    assert sheet.shape[1] == columns * (482 + 8) + 8
    assert rows * 208 + 8 <= sheet.shape[0] <= rows * 208 + 8 + 40


def test_without_a_background_no_class_is_black():
    """COCO-Stuff's class 0 is the person: it must be seen."""
    example = Example("person", np.full((90, 120, 3), 60, np.uint8), np.zeros((90, 120), np.uint8))
    sheet = draw_sheet([example], ["person", ""], ignore_label=255, background=False).astype(int)
    assert np.abs(sheet[60:100, 255:480] - blended((128, 0, 0))).max() <= 1


def test_a_sheet_is_written_for_many_classes(tmp_path):
    write_image(tmp_path / "images" / "a.png", size=(40, 48))
    write_indices(tmp_path / "masks" / "a.png", mask_of(0, 300, 699, 65535, size=(40, 48), dtype=np.uint16))
    data = folder_pairs(tmp_path, num_classes=700, ignore_label=65535)
    report = check_data(data, labels=["sky"])
    save_sheet(data, report, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert (sheet.mode, sheet.width) == ("RGB", 498)
        assert (np.asarray(sheet)[208:] == CREAM).all(-1).any()


def test_without_a_sound_example_there_is_no_sheet(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    write_indices(tmp_path / "masks" / "a.png", mask_of(9))
    data = folder_pairs(tmp_path, num_classes=2)
    report = check_data(data)
    with pytest.raises(DataError, match="without errors"):
        save_sheet(data, report, tmp_path / "sheet.png")
    with pytest.raises(OutputPathError, match=r"\.png"):
        save_sheet(data, report, tmp_path / "sheet.jpg")
