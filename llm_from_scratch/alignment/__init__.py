"""From a model to an assistant, one technique a file: losses, rewards and what belongs to them."""

from .actor_critic import ActorCritic
from .advantages import generalized_advantages, kl_rewards, whiten
from .ppo import PPO, ppo_loss, ppo_statistics
from .ppo_settings import PPOSettings
from .reward_objectives import RewardPairs, RewardRankings, pair_accuracy, pair_example, ranking_example
from .rewards import reward_all_pairs_loss, reward_pair_loss, reward_ranking_loss
from .rollouts import Rollouts
from .sampled_answers import sample_answers
from .value_head import RewardModel, ValueHead

__all__ = [
    "PPO",
    "ActorCritic",
    "PPOSettings",
    "RewardModel",
    "RewardPairs",
    "RewardRankings",
    "Rollouts",
    "ValueHead",
    "generalized_advantages",
    "kl_rewards",
    "pair_accuracy",
    "pair_example",
    "ppo_loss",
    "ppo_statistics",
    "ranking_example",
    "reward_all_pairs_loss",
    "reward_pair_loss",
    "reward_ranking_loss",
    "sample_answers",
    "whiten",
]
