"""Upper bounds of the class differences over a perturbation set."""
