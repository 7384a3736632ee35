"""What a run is on disk: its settings, its folder, its record."""
