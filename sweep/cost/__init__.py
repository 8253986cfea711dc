"""What trials and packs cost in operations, bytes and seconds."""
