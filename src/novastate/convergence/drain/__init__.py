"""Emptying hosts: what is asked, the plan, and the plan tried out in the simulator."""
