"""Training recipes, one file each: `paper` has every value, the others change some.

A recipe is a function of the model's name, the data set's name and the number of its
images. It returns the value of every setting that is neither the user's choice nor a
fact of the data.
"""

from typing import Any

from efficientnet_tf.recipes import digits, fake, finetune, paper, scratch

RECIPES = {"paper": paper, "finetune": finetune, "scratch": scratch}
# The paper's recipe, adapted to data that the paper does not train on.
_PAPER_ON = {"digits": digits, "fake": fake}
_FEW_IMAGES = 200_000


def suited(dataset: str, images: int | None) -> str:
    """Returns the name of the recipe for training from random weights on a data set.

    Args:
        dataset: name of the data set.
        images: int, the data set's training images; None if nobody knows their number.
    """
    few = images is not None and images < _FEW_IMAGES
    return "scratch" if few and dataset not in _PAPER_ON else "paper"


def find(
    name: str, model: str, dataset: str, images: int | None = None
) -> tuple[str, dict[str, Any]]:
    """Finds a recipe's file and values.

    Args:
        name: a name in RECIPES.
        model: name of a variant.
        dataset: name of the data set, a value of `data.settings.Data.dataset`.
        images: int, the data set's training images; None if nobody knows their number.

    Returns:
        The name of the recipe's file without ".py", and its values by setting.
    """
    module = RECIPES[name]
    if name == "paper":
        module = _PAPER_ON.get(dataset, paper)
    return module.__name__.rpartition(".")[2], module.recipe(model, dataset, images)
