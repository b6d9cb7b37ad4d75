"""Training on data that may not leave: parts of the images stay where they are, and weights travel.

McMahan et al. 2017, Communication-Efficient Learning of Deep Networks from Decentralized Data, 1602.05629
(FederatedAveraging). `parts` says where the parts lie, `local` is what is done there, `average` puts weights
together, `calls` asks the parts, `rounds` drives the training of a network. `local_supernet` and
`supernet_rounds` do the same for the shared weights of a search. Not here: executors, the loop of a training,
its export.
"""
