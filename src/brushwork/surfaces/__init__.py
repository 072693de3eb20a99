"""The doors into Brushwork: each turns what a person says into a job and shows its events."""
