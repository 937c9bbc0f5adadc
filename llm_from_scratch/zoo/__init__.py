"""The models of the year told about: the map, costs, who descends from whom, and a race at equal size."""
