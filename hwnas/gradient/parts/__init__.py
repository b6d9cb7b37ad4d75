"""What a row of the method table can name: policies, relaxations, hypergradients, objectives, decoders.

Each part registers itself under the name that rows use. Not here: the loop that calls the parts
(`gradient.search`) and the table itself (`gradient.methods`).
"""
